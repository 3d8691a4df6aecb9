"""How many logical paths a control unit takes, and to which of its images. Shared by all links of a box.

First come, first served: what is refused when the table is full is refused until a path is removed.
Source: 128 paths per control-unit image: IBM ESS host attachment guide; reasons: FC-SB-3 code points, use assumed.
"""

from __future__ import annotations

from collections import Counter

from ccw.escon import RemovedReason
from controller.channel.api import PathId

PATHS_PER_IMAGE = 128


class PathTable:
    """Counts paths by image. `images`: those that exist, None: whoever serves the commands knows."""

    def __init__(self, per_image: int = PATHS_PER_IMAGE, images: frozenset[int] | None = None) -> None:
        self._per_image = per_image
        self._images = images
        self.initialising: set[int] = set()  # images that take no path yet
        self._count: Counter[int] = Counter()

    def refusal(self, path: PathId) -> int | None:
        """The reason for which a new path would be refused, or None."""
        if self._images is not None and path.image not in self._images:
            return int(RemovedReason.NO_SUCH_CONTROL_UNIT_IMAGE)
        if path.image in self.initialising:
            return int(RemovedReason.DEVICE_INITIALISATION_IN_PROGRESS)
        if self._count[path.image] >= self._per_image:
            return int(RemovedReason.OUT_OF_RESOURCES)
        return None

    def add(self, path: PathId) -> None:
        """A path exists."""
        self._count[path.image] += 1

    def remove(self, path: PathId) -> None:
        """It does not exist any more."""
        self._count[path.image] -= 1
