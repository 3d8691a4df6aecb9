"""Which links a bridge uses: two of its own where two paths are free, else the pair of a ready bridge, shared.

A bridge that shares links is set up without turning one (step 606): its status comes back on the path that is turned
already. The links are free again when the last bridge on them is gone.
Source: pprc-commands 7.1 (with fewer paths than two for each bridge, bridges share links); which pair: project-defined.
"""

from typing import NamedTuple

from controller.remote_copy.core import Core, SecondaryBridge
from controller.remote_copy.pair import BoxName
from controller.remote_copy.paths import DATA_PURPOSE, STATUS_PURPOSE, VOLUME_PURPOSE, PathEntry
from controller.remote_copy.refusal import reject
from controller.remote_copy.states import Reason


class BridgeLinks(NamedTuple):
    """The links of one bridge, as paths of the primary box; `shared`: with a bridge that is ready."""

    data: PathEntry
    status: PathEntry
    shared: bool


def choose_links(core: Core, box: BoxName, number: int) -> BridgeLinks:
    """Links for a bridge to `box`, marked as in use; of pairs to share that with the fewest bridges. Raises Refused."""
    free = core.paths.need(box).free()
    if len(free) >= 2:
        data, status = free[:2]
        data.purpose, status.purpose = DATA_PURPOSE, STATUS_PURPOSE
        data.bridge = status.bridge = number
        return BridgeLinks(data, status, shared=False)
    pairs = [
        (_bridges_on(core, bridge.data_path), bridge.data_path.said, bridge)
        for bridge in core.sending.values()
        if bridge.box == box and bridge.worker.sender is not None
        and bridge.data_path is not None and bridge.data_path.good and bridge.status_path is not None
    ]  # fmt: skip
    if not pairs:
        raise reject(Reason.TWO_PATHS_NEEDED)
    _, _, other = min(pairs, key=lambda pair: pair[:2])
    assert other.data_path is not None and other.status_path is not None
    return BridgeLinks(other.data_path, other.status_path, shared=True)


def _bridges_on(core: Core, entry: PathEntry) -> int:
    return sum(bridge.data_path is entry or bridge.status_path is entry for bridge in core.sending.values())


def in_use(core: Core, entry: PathEntry) -> bool:
    """Does a bridge use the link?"""
    return _bridges_on(core, entry) > 0


def free_links(core: Core, *entries: PathEntry | None) -> None:
    """Let links serve everybody again that no bridge uses any more."""
    for entry in entries:
        if entry is not None and not in_use(core, entry):
            entry.purpose, entry.bridge = VOLUME_PURPOSE, 0


def shared_status_path(core: Core, bridge: SecondaryBridge) -> PathEntry | None:
    """At the secondary: the turned path of another bridge whose data come in on the same port."""
    return next(
        (
            other.status_path
            for other in core.receiving.values()
            if other is not bridge and other.primary_volume.box == bridge.primary_volume.box
            and other.data_said == bridge.data_said and other.status_path is not None and other.status_path.good
        ),
        None,
    )  # fmt: skip
