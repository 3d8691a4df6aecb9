"""A host's write begins it all: link, queueing and copying of a configured pair (the patent's claims 9, 12 and 13).

When a host writes to a volume that the configuration pairs with another (`settings.Mirror`) and that is in no pair yet,
the orders that an operator would send are carried out: Establish Path, Establish Pair for the bridges, Establish Pair
for the volume with a full copy. The write itself waits for none of it; the copy takes it along.

A pair that a command has deleted, or whose secondary was recovered, is not begun anew by a write.
"""

from collections.abc import Callable

from ccw import pprc
from controller.remote_copy import orders
from controller.remote_copy.core import Core
from controller.remote_copy.pair_orders import COPY, NOCOPY, establish_pair
from controller.remote_copy.path_orders import establish_paths
from controller.remote_copy.paths import LINK_ESCON
from controller.remote_copy.procedure import Procedure
from controller.remote_copy.refusal import Refused
from controller.remote_copy.settings import Mirror
from controller.remote_copy.states import BridgeState

DOWN = (BridgeState.DEFINED, BridgeState.FAILED)


class AutoEstablish:
    """The mirrors of one box, and the volumes that wait to be paired."""

    def __init__(self, core: Core, mirrors: tuple[Mirror, ...]) -> None:
        self._core = core
        self._mirrors = {volume: mirror for mirror in mirrors if mirror.auto_establish for volume in mirror.pairs}
        self._wanted: dict[int, None] = {}  # volumes, in the order of their first writes
        self.begun: Callable[[], None] = lambda: None  # a volume has come to be wanted

    def host_wrote(self, volume: int) -> None:
        """A host has written to a volume that is in no pair."""
        if volume not in self._mirrors or volume in self._wanted or not self._unpaired(volume):
            return
        if self._core.records.left_alone(volume):
            return
        self._wanted[volume] = None
        self._core.around.log(None, "a host's write begins the mirroring", {"volume": f"{volume:02X}"})
        self.begun()

    def _unpaired(self, volume: int) -> bool:
        core = self._core
        return volume not in core.primaries and volume not in core.secondaries and volume not in core.roles

    def work(self) -> Procedure[bool]:
        """Establish what the wanted volumes need, then them; is one left?"""
        for volume in list(self._wanted):
            if self._unpaired(volume):
                try:
                    yield from self._establish(volume, self._mirrors[volume])
                except Refused as refused:
                    fields = {"volume": f"{volume:02X}", "why": str(refused)}
                    self._core.around.log(None, "mirroring not begun yet", fields)
                    continue
            self._wanted.pop(volume, None)
        return bool(self._wanted)

    def _establish(self, volume: int, mirror: Mirror) -> Procedure[None]:
        core = self._core
        if core.paths.get(mirror.box) is None:
            yield from establish_paths(core, self._path_order(mirror))
        for number, secondary in mirror.bridges.items():
            bridge = core.sending.get(number)
            if bridge is not None and bridge.worker.state in DOWN and mirror.box not in core.frozen:
                order = self._pair_order(mirror, bridge.data_volume, secondary, NOCOPY, number)
                yield from establish_pair(core, order, bridge.data_volume)
        yield from establish_pair(core, self._pair_order(mirror, volume, mirror.pairs[volume], COPY), volume)

    def _path_order(self, mirror: Mirror) -> pprc.EstablishPath:
        flags = pprc.PathFlag.CONSISTENCY_GROUP if mirror.consistency_group else pprc.PathFlag(0)
        paths = tuple(pprc.PathDescriptor(said=said, link_address=0, cu_image=0) for said in mirror.links)
        return pprc.EstablishPath(
            header=orders.header(
                pprc.Order.ESTABLISH_PATH,
                48 + 8 * len(paths),
                self._core.own.volume(0),
                mirror.box.volume(0),
                flags=int(flags),
            ),
            link_type=LINK_ESCON,
            paths=paths,
        )

    def _pair_order(
        self, mirror: Mirror, primary: int, secondary: int, mode: int, bridge: int = 0
    ) -> pprc.EstablishPair:
        """Establish Pair as a host would send it; bridge: number of a data bridge, 0 for a volume pair."""
        return pprc.EstablishPair(
            header=orders.header(
                pprc.Order.ESTABLISH_PAIR, 64, self._core.own.volume(primary), mirror.box.volume(secondary)
            ),
            mode=mode,
            bridge_role=orders.DATA_BRIDGE if bridge else 0,
            bridge_number=bridge,
        )
