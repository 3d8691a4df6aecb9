"""`RemoteCopy`: the door to remote copy of one box.

order           a PPRC order arrived (PSF D0-D8) from a host or from the other controller
gate            may this host command touch this volume?
host_writes     a host changed tracks: who has to confirm them before device end?
bridge_record   a record arrived in one of our bridge volumes
query           Read Subsystem Data for the PPRC queries
link_lost       the light of a port went out
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ccw import pprc
from controller.commands.outcome import Outcome
from controller.commands.table import WRITE_COMMANDS
from controller.remote_copy import (
    bridge_volumes,
    heartbeat,
    link_changes,
    long_busy,
    orders,
    pair_acts,
    pair_orders,
    path_orders,
    queries,
)
from controller.remote_copy.auto_establish import AutoEstablish
from controller.remote_copy.bridge_acceptance import (
    accept_data_bridge,
    establish_status_bridge,
    turn,
)
from controller.remote_copy.bridge_end import delete_bridge
from controller.remote_copy.bridge_setup import accept_status_bridge
from controller.remote_copy.checks import check_boxes, check_request_sequence, parse_order
from controller.remote_copy.consistency_group import consistency_group
from controller.remote_copy.conventional import ConventionalCopy
from controller.remote_copy.copying import Copying
from controller.remote_copy.core import Core, PrimaryBridge, VolumeShape
from controller.remote_copy.critical import write_refusal
from controller.remote_copy.host_writes import HostWrites
from controller.remote_copy.pair import BoxName, Pair, VolumeName
from controller.remote_copy.peer_sequences import PeerSequences
from controller.remote_copy.ports import Surroundings
from controller.remote_copy.procedure import Procedure, run
from controller.remote_copy.records import Records
from controller.remote_copy.recover import recover_pair
from controller.remote_copy.refusal import (
    FORMAT_SECONDARY,
    STATUS_DEVICE_END_CHECK,
    STATUS_UNIT_CHECK_END,
    Refusal,
    Refused,
    bad_parameter,
    reject,
)
from controller.remote_copy.secondary import destination, update_status
from controller.remote_copy.settings import CopySettings
from controller.remote_copy.states import MAX_BRIDGES, BridgeRole, PairEvent, PairState, Reason
from controller.remote_copy.suspend import suspend_pair
from controller.remote_copy.sync_worker import SyncWorker
from controller.remote_copy.update_chain import accept_update
from controller.remote_copy.upkeep import Upkeep

CHANNEL_END, DEVICE_END = 0x08, 0x04
NORMAL_END = CHANNEL_END | DEVICE_END
LONG_ORDERS = frozenset({0xD0, 0xD2, 0xD3, 0xD4, 0xD6})  # channel end at once, device end when the function is complete
BRIDGE_VOLUME_COMMANDS = frozenset(
    {0x03, 0x04, 0x14, 0x27, 0x34, 0x3E, 0x44, 0x54, 0x5B, 0x64, 0x94, 0xAF, 0xB4, 0xE4, 0xFA}
)


class RemoteCopy:
    """Remote copy of one box. All calls come from one thread."""

    def __init__(
        self,
        own: BoxName,
        volumes: Mapping[int, VolumeShape],
        around: Surroundings,
        settings: CopySettings | None = None,
        conventional: bool = False,
    ) -> None:
        """conventional: this box's pairs are mirrored without bridges."""
        self._settings = settings or CopySettings()
        self.core = Core(own, volumes, around, Records(around.array))
        self.core.window, self.core.critical_all = self._settings.window, self._settings.critical_all
        self.writes = HostWrites(self.core)
        auto = AutoEstablish(self.core, self._settings.mirrors)
        self.upkeep = Upkeep(self.core, auto, self._settings.reestablish)
        auto.begun = self.writes.on_suspended = self.upkeep.soon
        self.core.repair = self.upkeep.later
        self.core.watch = heartbeat.Heartbeat(self.core, self.writes).watch
        self.writes.on_unpaired = auto.host_wrote
        self.copying = Copying(self.core, self.writes, self.upkeep.soon)
        if conventional:
            self.core.conventional = ConventionalCopy(self.core, self.writes, self.copying)

    def restore(self) -> None:
        """After a start: take up what the log says. Duplex is never assumed, it is proven again."""
        core = self.core
        core.roles.update(core.records.bridges())
        for bridge in self._settings.bridge_volumes:
            bridge_volumes.define_as_configured(core, bridge)
        core.marks.update(core.records.marks())
        for number in {number for _, number in core.roles.values()}:
            bridge_volumes.link_bridge_volumes(core, number, self._new_bridge)
        for pair in _one_role_each(core.records.pairs()):
            if not pair.is_primary:
                core.secondaries[pair.volume] = pair
                continue
            core.primaries[pair.volume] = pair
            pair.mark(int(track) for track in core.around.array.written_since(pair.volume, pair.epoch))
            pair.reconcile = True
            if pair.state in (PairState.DUPLEX, PairState.DUPLEX_PENDING):
                core.change(pair, PairEvent.RESTART, "restart")
            if pair.state is PairState.DUPLEX_PENDING:
                core.queue.append(pair)
        core.frozen.update(core.records.frozen())
        self._restore_paths_and_bridges()
        long_busy.restore(core)

    def _restore_paths_and_bridges(self) -> None:
        """What was established before; `upkeep` brings it up when there are links."""
        core = self.core
        if not self._settings.reestablish:
            return
        for paths in core.records.path_sets():
            core.paths.sets[paths.box] = paths
        for number, secondary in core.records.bridge_pairs().items():
            if number in core.sending:
                bridge = core.sending[number]
                bridge.wanted, bridge.box, bridge.secondary_volume = True, secondary.box, secondary.cca

    # Orders

    def order(
        self, volume: int, data: bytes, sender: BoxName | None, said: int, reply: Callable[[Outcome], None]
    ) -> None:
        """Run one order addressed to `volume`. `sender`: the peer behind the path, None for a host; `said`: our port.

        `reply` gets CE+DE when the order is done at once, else CE and, later, DE.
        """
        peer = None
        try:
            order = parse_order(data)
            number = order.header.request_sequence
            check_request_sequence(number, sender is not None)
            if sender is not None and not isinstance(order, pprc.RemoteWritePrefix):  # which has a sequence of its own
                peer = self.core.peer(sender)
            new = peer is None or peer.accept(number, data)
        except Refused as refused:
            reply(self._about(refused, volume, data).outcome())
            return
        ended = False
        split = False

        def done(result: Refused | None) -> None:
            nonlocal ended
            ended = True
            if peer is not None:
                peer.answered(number, result)
            if isinstance(result, Refused):
                status = STATUS_DEVICE_END_CHECK if split else STATUS_UNIT_CHECK_END
                reply(self._about(result, volume, data).outcome(status))
            else:
                reply(Outcome(DEVICE_END if split else NORMAL_END))

        run(peer.again() if peer is not None and not new else self._procedure(order, volume, sender, said), done)
        if not ended and data[0] in LONG_ORDERS:
            split = True
            reply(Outcome(CHANNEL_END))

    def _about(self, refused: Refused, volume: int, data: bytes) -> Refusal:
        """The refusal with the fields that every refused order reports."""
        secondary = data[12:16].ljust(4, b"\0")
        return replace(
            refused.refusal,
            cca=volume,
            own_ssid=self.core.own.ssid,
            order=data[0] if data else 0,
            secondary_ssid=int.from_bytes(secondary[:2], "big"),
            secondary_cca=secondary[3],
        )

    def _procedure(self, order: pprc.PprcOrder, volume: int, sender: BoxName | None, said: int) -> Procedure[None]:
        """The order as a procedure, its choice included: a refusal at once is an end like any other."""
        yield from self._chosen(order, volume, sender, said)

    def _chosen(self, order: pprc.PprcOrder, volume: int, sender: BoxName | None, said: int) -> Procedure[None]:
        core = self.core
        match order:
            case pprc.EstablishPath() if sender is not None:
                return turn(core, order, sender)
            case pprc.EstablishPath():
                return path_orders.establish_paths(core, order)
            case pprc.DeletePath():
                return path_orders.delete_paths(core, order)
            case pprc.EstablishPair() if sender is not None:
                check_boxes(order.header, core.own, own_is_primary=True)
                return establish_status_bridge(core, order, volume, sender)
            case pprc.RemoteWritePrefix() if sender is not None:
                return accept_update(core, order, volume)
            case pprc.EstablishPair() if order.bridge_role and core.conventional is not None:
                raise reject(Reason.NOT_ENABLED)
            case pprc.EstablishPair():
                return pair_orders.establish_pair(core, order, volume)
            case pprc.DeletePair() if volume in core.roles:
                return pair_acts.alone(core, volume, delete_bridge(core, order, volume))
            case pprc.DeletePair():
                return pair_acts.alone(core, volume, pair_orders.delete_pair(core, order, volume))
            case pprc.SuspendPair():
                return pair_acts.alone(core, volume, suspend_pair(core, order, volume, by_host=sender is None))
            case pprc.RecoverPair() if sender is None:
                return recover_pair(core, order, volume)
            case pprc.ConsistencyGroup() if sender is None:
                return consistency_group(core, order)
            case pprc.DefineBridgeVolume():
                return bridge_volumes.define_bridge(core, order, volume, self._new_bridge)
            case pprc.UpdateSecondaryDeviceStatus() if sender is not None:
                return self._status_update(order, volume, said)
            case pprc.UpdateSecondaryDeviceStatus():
                raise bad_parameter(0)  # never accepted from a host channel
            case _:
                raise reject(Reason.NOT_ENABLED)

    def _status_update(self, order: pprc.UpdateSecondaryDeviceStatus, volume: int, said: int) -> Procedure[None]:
        core = self.core
        check_boxes(order.header, core.own, own_is_primary=False)
        if order.header.secondary_cca != volume:
            raise reject(Reason.NOT_THE_ONE_NAMED)
        if bool(order.header.flags & pprc.StatusUpdateFlag.BRIDGE) != (order.bridge_role != 0):
            raise bad_parameter(42)
        if order.bridge_number > MAX_BRIDGES:
            raise bad_parameter(43)
        if order.header.selector == orders.SELECT_NOTIFY and order.bridge_role != orders.STATUS_BRIDGE:
            raise bad_parameter(42)  # only a status bridge is told to be ready; no volume's state is set by that
        if order.header.selector == orders.SELECT_HEARTBEAT:
            return heartbeat.answer(core, order, volume)
        if order.bridge_role == orders.DATA_BRIDGE:
            accept_data_bridge(core, order, volume, said, lambda header: destination(core, header))
            return core.hardened()
        if order.bridge_role == orders.STATUS_BRIDGE:
            accept_status_bridge(core, order, volume)
            return _nothing()
        return update_status(core, order, volume)

    def _new_bridge(self, number: int, data_volume: int, status_volume: int) -> PrimaryBridge:
        core = self.core
        worker = SyncWorker(
            number, data_volume, core.queue, self.copying, core.around.array, core.around.clock, core.around.log
        )
        return PrimaryBridge(number, worker, data_volume, status_volume)

    # Host I/O

    def peer_gate(self, volume: int, code: int, in_update_chain: bool) -> Refusal | None:
        """As `gate`, for the other controller: it writes to ends of bridges, and to secondaries in update chains."""
        return None if in_update_chain or self.takes_bridge_chains(volume) else self.gate(volume, code)

    def gate(self, volume: int, code: int) -> Refusal | None:
        """None: the command may go on. Else why a host may not touch this volume now."""
        if code in BRIDGE_VOLUME_COMMANDS:
            return None
        if volume in self.core.roles:
            return replace(reject(Reason.BRIDGE_VOLUME).refusal, cca=volume, own_ssid=self.core.own.ssid)
        if volume in self.core.secondaries:
            return Refusal(FORMAT_SECONDARY, cca=volume, own_ssid=self.core.own.ssid)
        return write_refusal(self.core, volume) if code in WRITE_COMMANDS else None

    def host_writes(
        self, volume: int, writes: Sequence[tuple[int, int]], done: Callable[[Refusal | None], None]
    ) -> None:
        """See `HostWrites.host_writes`."""
        self.writes.host_writes(volume, writes, done)

    def is_primary(self, volume: int) -> bool:
        """Has the volume a secondary, in step or not?"""
        return volume in self.core.primaries

    # Bridge volumes as devices

    def takes_bridge_chains(self, volume: int) -> bool:
        """Is the volume the receiving end of a bridge?"""
        role = self.core.roles.get(volume)
        return role is not None and role[0] in (BridgeRole.SECONDARY_DATA, BridgeRole.SECONDARY_STATUS)

    def bridge_record(self, volume: int, data: bytes) -> Refusal | None:
        """What a Write Full Track from the other controller brought. None: channel end and device end at once."""
        role, number = self.core.roles[volume]
        try:
            if role is BridgeRole.SECONDARY_DATA:
                receiving = self.core.receiving.get(number)
                if receiving is None:
                    raise reject(Reason.BRIDGE_NOT_ESTABLISHED)
                receiving.receiver.record(data)
            else:
                sending = self.core.sending.get(number)
                if sending is None or sending.inbox is None:
                    raise reject(Reason.BRIDGE_NOT_ESTABLISHED)
                sending.inbox.record(data)
        except Refused as refused:
            return replace(refused.refusal, cca=volume, own_ssid=self.core.own.ssid)
        return None

    # Queries

    def query(self, volume: int, prepare: bytes) -> bytes:
        """The data of PSF order 18, suborder 50, for `volume`. Raises Refused for an unknown scope."""
        return queries.answer(self.core, volume, prepare)

    def statistics(self) -> dict[str, object]:
        """Counts since the start: tracks copied and applied, their raw bytes sent, pairs by state."""
        core = self.core
        copied, updated, raw = core.conventional.counts if core.conventional is not None else (0, 0, 0)
        return {
            "tracks_copied": copied + sum(bridge.worker.tracks_copied for bridge in core.sending.values()),
            "tracks_updated": updated + sum(bridge.worker.tracks_updated for bridge in core.sending.values()),
            "tracks_applied": sum(bridge.receiver.tracks_applied for bridge in core.receiving.values()),
            "bytes_raw": raw + sum(bridge.worker.bytes_raw for bridge in core.sending.values()),
            "pairs_duplex": sum(pair.state is PairState.DUPLEX for pair in core.primaries.values()),
        }

    # Links

    def link_lost(self, said: int) -> None:
        """The light of a port went out."""
        link_changes.link_lost(self.core, said)

    def link_gained(self, said: int) -> None:
        """A port has light: what was interrupted goes on, what needs the link may be established again."""
        link_changes.link_made(self.core, said)
        self.upkeep.link_gained()

    def peer_gone(self, box: BoxName) -> None:
        """No path of that box leads here any more: its request sequence starts anew."""
        self.core.peers.setdefault(box, PeerSequences()).forget()


def _one_role_each(pairs: list[Pair]) -> list[Pair]:
    """Without the older side, where one volume has both of the same pair: a crash fell into an exchange of roles."""
    newest: dict[tuple[int, frozenset[VolumeName]], Pair] = {}
    for pair in pairs:
        both = (pair.volume, frozenset({pair.primary, pair.secondary}))
        if both not in newest or newest[both].began < pair.began:
            newest[both] = pair
    return list(newest.values())


def _nothing() -> Procedure[None]:
    """An order that is complete as soon as it is accepted."""
    yield from ()
