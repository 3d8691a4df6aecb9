"""Answers to the PPRC queries (PSF order 18, suborder 50), and the reading of a peer's answers.

Scopes: 01 paths of the control-unit image, 02 one volume, 03 queue and bridges, 04 the query that Linux asks,
05 the tracks that may differ. Source: pprc-commands 3.3, 4.13, 7.3 step 6.
"""

from math import ceil, inf

from bitarray import bitarray

from ccw.errors import FormatError
from ccw.pprc_extended_query import EXTENDED_QUERY_LENGTH, ExtendedEntry, ExtendedQuery, RelationFlag
from ccw.pprc_query import (
    BITMAP_TRACKS_MAX,
    BridgeEntry,
    ChangeBitmap,
    PathEntry,
    PathReport,
    QueueReport,
    SecondaryFlag,
    SecondaryPaths,
    VolumeFlag,
    VolumeQuery,
)
from controller.channel import ChainCommand
from controller.remote_copy.core import PERFORM_SUBSYSTEM_FUNCTION, READ_SUBSYSTEM_DATA, Core
from controller.remote_copy.critical import is_critical
from controller.remote_copy.pair import Pair
from controller.remote_copy.paths import LINK_ESCON, PathSet
from controller.remote_copy.refusal import bad_parameter, reject
from controller.remote_copy.states import BridgeRole, PairState, Reason

PREPARE, SUBORDER_PPRC = 0x18, 0x50
SUBORDER_AT, SCOPE_AT = 6, 7
SCOPE_PATHS, SCOPE_VOLUME, SCOPE_QUEUE, SCOPE_EXTENDED, SCOPE_BITMAP = 1, 2, 3, 4, 5
VOLUME_BYTES = 128
BITMAP_HEADER_BYTES = 8
PATH_ENTRIES = 8
DUPLEX_PERCENT = 100


def prepare(scope: int) -> bytes:
    """The 12-byte order that prepares the answer of a scope for the addressed device."""
    order = bytearray(12)
    order[0], order[SUBORDER_AT], order[SCOPE_AT] = PREPARE, SUBORDER_PPRC, scope
    return bytes(order)


def ask_for_bitmap(tracks: int) -> list[ChainCommand]:
    """The chain that brings the bitmap of a volume of at most BITMAP_TRACKS_MAX tracks."""
    prepared = ChainCommand(PERFORM_SUBSYSTEM_FUNCTION, prepare(SCOPE_BITMAP))
    return [prepared, ChainCommand(READ_SUBSYSTEM_DATA, count=BITMAP_HEADER_BYTES + (tracks + 7) // 8)]


def ask_for_relations() -> list[ChainCommand]:
    """The chain that brings all copy relations of a volume (scope 04)."""
    prepared = ChainCommand(PERFORM_SUBSYSTEM_FUNCTION, prepare(SCOPE_EXTENDED))
    return [prepared, ChainCommand(READ_SUBSYSTEM_DATA, count=EXTENDED_QUERY_LENGTH)]


def secondary_state(data: bytes, pair: Pair) -> PairState | None:
    """State of the pair's secondary, from its relations as the other box tells them; None: it is not that.

    Raises Refused (5B) for another reply.
    """
    mine = (pair.primary.ssid, pair.primary.lss, pair.primary.cca)
    try:
        reply = ExtendedQuery.decode(data)
        for entry in reply.entries[: reply.entry_count]:
            primary = (entry.primary_ssid, entry.primary_lss, entry.primary_cca)
            if entry.flags & RelationFlag.SECONDARY and primary == mine:
                return PairState(entry.state)
    except (FormatError, ValueError) as error:
        raise reject(Reason.PEER_REFUSED) from error
    return None


def answer(core: Core, volume: int, order: bytes) -> bytes:
    """The data that Read Subsystem Data will bring.

    Raises Refused (message 4) for an unknown scope (pointer 7) or a parameter behind it.
    """
    scopes = {
        SCOPE_PATHS: _paths,
        SCOPE_VOLUME: _volume,
        SCOPE_QUEUE: _queue,
        SCOPE_EXTENDED: _extended,
        SCOPE_BITMAP: _bitmap,
    }
    build = scopes.get(order[SCOPE_AT])
    if build is None:
        raise bad_parameter(SCOPE_AT)
    for offset in range(SCOPE_AT + 1, len(order)):
        if order[offset]:
            raise bad_parameter(offset)
    return build(core, volume)


def _paths(core: Core, volume: int) -> bytes:
    own = core.own
    secondaries = tuple(_secondary_paths(core, paths) for paths in core.paths)
    return PathReport(
        ssid=own.ssid, lss=own.lss, control_unit_type=0, serial=own.identity, wwnn=bytes(8), secondaries=secondaries
    ).encode()


def _secondary_paths(core: Core, paths: PathSet) -> SecondaryPaths:
    entries = [
        PathEntry(e.said, e.link_address, e.image, e.secondary_port, int(e.status), e.purpose, e.bridge)
        for e in paths.entries[:PATH_ENTRIES]
    ]
    entries += [PathEntry()] * (PATH_ENTRIES - len(entries))
    primaries = [pair.volume for pair in core.primaries.values() if pair.secondary.box == paths.box]
    busy = [core.long_busy[volume] for volume in primaries if volume in core.long_busy]
    ends = max((end for end in busy if end != inf), default=0.0)  # a quiesce has no end
    flags = SecondaryFlag.CONSISTENCY_GROUP if paths.cgroup else SecondaryFlag(0)
    flags |= SecondaryFlag.FROZEN if paths.box in core.frozen else SecondaryFlag(0)
    flags |= SecondaryFlag.LONG_BUSY if busy else SecondaryFlag(0)
    return SecondaryPaths(
        ssid=paths.box.ssid,
        lss=paths.box.lss,
        path_count=len(paths.good()),
        serial=paths.box.identity,
        wwnn=bytes(8),
        flags=int(flags),
        link_type=max((entry.link_type for entry in paths.entries), default=LINK_ESCON),
        elb_seconds=max(0, ceil(ends - core.around.clock.now())) if ends else paths.elb_seconds,
        paths=tuple(entries),
    )


def _volume(core: Core, volume: int) -> bytes:
    if volume in core.roles:
        return _bridge_volume(core, volume)
    pair = core.primaries.get(volume) or core.secondaries.get(volume)
    if pair is None:
        return VolumeQuery(role=0, state=0, total_tracks=core.shape(volume).tracks, percent_in_sync=0).encode()
    paths = core.paths.get(pair.secondary.box)
    good = len(paths.good()) if paths is not None else 0
    left = pair.out_of_sync_count
    first, last = _cylinders(pair)
    flags = VolumeFlag(0)
    if pair.attributes & 0x80:
        flags |= VolumeFlag.CRITICAL
    if pair.extended:
        flags |= VolumeFlag.EXTENDED_DISTANCE
    if pair.is_primary and is_critical(core, pair):
        flags |= VolumeFlag.CRITICAL_STATE
    if volume in core.long_busy:
        flags |= VolumeFlag.LONG_BUSY
    if pair in core.queue:
        flags |= VolumeFlag.QUEUED
    if any(bridge.worker.pair is pair for bridge in core.sending.values()):
        flags |= VolumeFlag.BEING_COPIED
    query = VolumeQuery(
        role=1 if pair.is_primary else 2,
        state=int(pair.state),
        flags=int(flags),
        primary_ssid=pair.primary.ssid,
        primary_lss=pair.primary.lss,
        primary_cca=pair.primary.cca,
        secondary_ssid=pair.secondary.ssid,
        secondary_lss=pair.secondary.lss,
        secondary_cca=pair.secondary.cca,
        primary_identity=pair.primary.identity,
        secondary_identity=pair.secondary.identity,
        pair_id=pair.pair_id,
        total_tracks=pair.tracks,
        out_of_sync_tracks=left,
        percent_in_sync=DUPLEX_PERCENT * (pair.tracks - left) // pair.tracks,
        path_status=1 if good else 0,
        path_count=good,
        pace=pair.pace,
        suspend_tod=pair.suspend_tod,
        queue_position=core.queue.position(pair),
        first_cylinder=first,
        last_cylinder=last,
    )
    return query.encode()


def _cylinders(pair: Pair) -> tuple[int, int]:
    """First and last cylinder out of sync, FFFFFFFF when none."""
    bits = pair.out_of_sync
    first = bits.find(1)
    if first < 0:
        return 0xFFFF_FFFF, 0xFFFF_FFFF
    return first // pair.heads, bits.find(1, right=True) // pair.heads


def _bridge_volume(core: Core, volume: int) -> bytes:
    role, number = core.roles[volume]
    sending, receiving = core.sending.get(number), core.receiving.get(number)
    own, other, state = core.name(volume), None, PairState.SIMPLEX
    next_sequence = acknowledged = 0
    if role is BridgeRole.PRIMARY_DATA and sending is not None and sending.box is not None:
        other = sending.box.volume(sending.secondary_volume)
        if sending.worker.sender is not None:
            state = PairState.DUPLEX
            next_sequence = sending.worker.sender.next_sequence
            acknowledged = sending.worker.sender.acknowledged
    elif role is BridgeRole.SECONDARY_DATA and receiving is not None:
        own, other = receiving.primary_volume, core.name(volume)
        state = PairState.DUPLEX if receiving.duplex else PairState.DUPLEX_PENDING
        next_sequence = receiving.receiver.expected
    return VolumeQuery(
        role=0 if other is None else 1 if role is BridgeRole.PRIMARY_DATA else 2,
        state=int(state),
        flags=int(VolumeFlag.BRIDGE_VOLUME),
        bridge_role=int(role),
        bridge_number=number,
        primary_ssid=own.ssid,
        primary_lss=own.lss,
        primary_cca=own.cca,
        secondary_ssid=other.ssid if other else 0,
        secondary_lss=other.lss if other else 0,
        secondary_cca=other.cca if other else 0,
        primary_identity=own.identity,
        secondary_identity=other.identity if other else bytes(12),
        total_tracks=core.shape(volume).tracks,
        next_sequence=next_sequence,
        acknowledged_sequence=acknowledged,
    ).encode()


def _queue(core: Core, volume: int) -> bytes:
    bridges = []
    for number in sorted(core.sending):
        worker = core.sending[number].worker
        pair = worker.pair
        bridges.append(
            BridgeEntry(
                bridge_number=number,
                bridge_state=int(worker.state),
                pair_id=pair.pair_id if pair else 0,
                source_ssid=pair.primary.ssid if pair else 0,
                source_lss=pair.primary.lss if pair else 0,
                source_cca=pair.primary.cca if pair else 0,
                destination_ssid=pair.secondary.ssid if pair else 0,
                destination_lss=pair.secondary.lss if pair else 0,
                destination_cca=pair.secondary.cca if pair else 0,
                next_sequence=worker.sender.next_sequence if worker.sender else 0,
                acknowledged_sequence=worker.sender.acknowledged if worker.sender else 0,
                tracks_left=pair.out_of_sync_count if pair else 0,
            )
        )
    waiting = tuple(pair.pair_id for pair in core.queue.pairs())
    return QueueReport(bridges=tuple(bridges), queue=waiting, max_depth=core.queue.limit).encode()


def _extended(core: Core, volume: int) -> bytes:
    entries = []
    for pair in (core.primaries.get(volume), core.secondaries.get(volume)):
        if pair is not None:
            entries.append(
                ExtendedEntry(
                    state=int(pair.state),
                    flags=0 if pair.is_primary else int(RelationFlag.SECONDARY),
                    primary_lss=pair.primary.lss,
                    primary_cca=pair.primary.cca,
                    secondary_lss=pair.secondary.lss,
                    secondary_cca=pair.secondary.cca,
                    pprc_id=pair.pair_id & 0xFFFF,
                    primary_ssid=pair.primary.ssid,
                    secondary_ssid=pair.secondary.ssid,
                )
            )
    return ExtendedQuery.of(tuple(entries)).encode()


def _bitmap(core: Core, volume: int) -> bytes:
    """Primary: out of sync tracks. Secondary: tracks that its primary may have otherwise.

    Raises Refused: 43 in no pair, 49 more tracks than the reply can tell of.
    """
    pair = core.secondaries.get(volume)  # first: of a volume in the middle of a cascade its primary asks
    if pair is None:
        pair = core.primaries.get(volume)
    if pair is None:
        raise reject(Reason.NOT_IN_PAIR)
    if pair.tracks > BITMAP_TRACKS_MAX:
        raise reject(Reason.GEOMETRY)
    if pair.is_primary:
        bits = pair.out_of_sync
    else:
        bits = core.uncertain_tracks(pair)
    return ChangeBitmap(track_count=pair.tracks, bitmap=bits.tobytes()).encode()


def bitmap_of(data: bytes, tracks: int) -> bitarray:
    """The bitmap of a peer's answer. Raises Refused (5B) when it is not one of `tracks` tracks."""
    try:
        reply = ChangeBitmap.decode(data)
    except FormatError as error:
        raise reject(Reason.PEER_REFUSED) from error
    if reply.track_count != tracks:
        raise reject(Reason.PEER_REFUSED)
    bits = bitarray()
    bits.frombytes(reply.bitmap)
    return bits[:tracks]


def bridge_of(data: bytes) -> tuple[BridgeRole, int] | None:
    """Role and number of a peer's volume, None when it is no bridge volume."""
    try:
        reply = VolumeQuery.decode(data)
    except FormatError:
        return None
    if not reply.flags & VolumeFlag.BRIDGE_VOLUME or reply.bridge_role > BridgeRole.SECONDARY_STATUS:
        return None
    return BridgeRole(reply.bridge_role), reply.bridge_number
