"""Several devices as one disk that survives the loss of one or two: the patent's RAID devices 202.

`ParityDisk` (disk.py) is a `Disk` over N others. Start with format.py: what is on a device, and the invariants that
make "durable" hold through a crash together with the loss of devices. `open_parity` (assemble.py) puts an array
together from its devices, `open_directories` (directories.py) from directories; repair.py rebuilds and scrubs.
"""

from controller.array.parity.assemble import attach, check_vacant, open_parity
from controller.array.parity.directories import open_directories
from controller.array.parity.disk import ParityDisk
from controller.array.parity.repair import Damage, Progress, Rebuild, Scrub
from controller.array.parity.state import Condition
from controller.array.parity.status import status_of

__all__ = [
    "Condition",
    "Damage",
    "ParityDisk",
    "Progress",
    "Rebuild",
    "Scrub",
    "attach",
    "check_vacant",
    "open_directories",
    "open_parity",
    "status_of",
]
