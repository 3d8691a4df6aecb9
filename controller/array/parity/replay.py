"""Reads the journal of an array: which epoch counts, which devices can be trusted, what the records say."""

from typing import NamedTuple

from controller.array.errors import StoreError
from controller.array.parity.devices import DeviceSet
from controller.array.parity.erasure import ErasureCode
from controller.array.parity.format import Do, Label, Operation, Record, attempt_of, decode_operations
from controller.array.parity.journal import join, read_half
from controller.array.parity.state import ArrayState, Condition, Member, Segment
from controller.array.parity.stripes import Stripes, Writes


class Found:
    """The epoch that counts: its records, with their data, and how many of them each trusted device has.

    `why` the others are not trusted. `cut_off`: the epochs of each trusted device that never happened (P9).
    `last_segments`: those in which the last record put something in place.
    """

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.records: list[tuple[Record, bytes]] = []
        self.trusted: dict[int, int] = {}
        self.why: dict[int, str] = {}
        self.cut_off: dict[int, list[int]] = {}
        self.last_segments: set[int] = set()


class StateFound(NamedTuple):
    """A STATE: whether a change follows it, the devices that have it, and who it says belongs to the array."""

    epoch: int
    changed: bool
    having: list[int]
    members: list[Member]


Halves = dict[int, dict[int, list[Record]]]  # records by device and epoch


def find_journal(devices: DeviceSet, labels: dict[int, Label], code: ErasureCode) -> Found | None:
    """The epoch that counts; None if there is none on any device. Raises StoreError when it is damaged."""
    halves: Halves = {
        index: {half[0].epoch: half for number in (0, 1) if (half := read_half(devices[index].ready, label, number))}
        for index, label in labels.items()
    }
    if not any(halves.values()):
        return None
    epoch, _, having, members = _choose_state(labels, halves, code)
    found = Found(epoch)
    journals = {index: half[epoch] if index in having else [] for index, half in halves.items()}
    count = max(map(len, journals.values()))
    for index, label in labels.items():
        why = _distrust(label, members[index], len(journals[index]), bool(halves[index]), count)
        if why:
            found.why[index] = why
        else:
            found.trusted[index] = len(journals[index])
            found.cut_off[index] = [newer for newer in halves[index] if newer > epoch]
    _collect(found, {index: journals[index] for index in found.trusted}, count, code)
    return found


def _choose_state(labels: dict[int, Label], halves: Halves, code: ErasureCode) -> StateFound:
    """The newest STATE that counts (P9). Where none does, the making of the array was cut off: the newest of all."""
    journals: dict[tuple[int, bytes], dict[int, list[Record]]] = {}
    for index, half in halves.items():
        for epoch, records in half.items():
            journals.setdefault((epoch, records[0].meta), {})[index] = records
    stripe_bytes = next(iter(labels.values())).chunk_bytes * code.data
    states = [
        StateFound(
            epoch,
            any(len(records) > 1 for records in have.values()),
            list(have),
            ArrayState.decode(meta, stripe_bytes).members,
        )
        for (epoch, meta), have in journals.items()
    ]
    states.sort(key=lambda state: state.epoch, reverse=True)
    return next((state for state in states if _counts(state, labels, code.data)), states[0])


def _counts(state: StateFound, labels: dict[int, Label], enough: int) -> bool:
    """Whether no crash cut the STATE off before it was on its devices (P9)."""
    if state.changed or len(state.having) >= enough:
        return True
    return not any(
        label.device == state.members[index].device and state.members[index].condition != Condition.OUT
        for index, label in labels.items()
        if index not in state.having
    )


def _distrust(label: Label, member: Member, records: int, any_epoch: bool, count: int) -> str:
    """Why a device cannot be trusted; empty if it can (P7).

    A device of the STATE that lacks it was caught by a crash while it was written; but not when a change follows:
    then it was on every device (P4), and this one shows an older state of itself.
    """
    if label.device != member.device:
        return "it was replaced by another device"
    if member.condition == Condition.OUT:
        return "it was away while writes went on: replace it, or rebuild it as new"
    if not records and count > 1 and any_epoch:
        return "it shows an older state of itself: replace it, or rebuild it as new"
    return ""


def _collect(found: Found, journals: dict[int, list[Record]], count: int, code: ErasureCode) -> None:
    """The records and their data; the last only if it can be decoded (P4)."""
    for number in range(count):
        have = {index: journal[number] for index, journal in journals.items() if len(journal) > number}
        if not have:
            return
        record = next(iter(have.values()))
        data = join(code, record.data_length, {index: one.part for index, one in have.items()})
        if data is None:
            if number < count - 1 and len(journals) >= code.data:
                raise StoreError(f"the parity journal is damaged: epoch {found.epoch}, record {number}")
            return
        found.records.append((record, data))


def replay(found: Found, devices: DeviceSet, label: Label, code: ErasureCode) -> tuple[ArrayState, dict[int, Writes]]:
    """The state after all records, and the units of the last one that have to be written again, by device.

    A last record whose stripes are not in place is taken off `found` (P4).
    """
    state = _apply(found.records, label.chunk_bytes * code.data)
    record = found.records[-1][0]
    operations = decode_operations(record.meta) if record.number else []
    repairs: dict[int, Writes] = {}
    stripes = Stripes(devices, code, label.array, label.chunk_bytes, state)
    for operation in operations:
        if operation.do != Do.PLACED:
            continue
        found.last_segments.add(operation.segment)
        segment = state.segments[operation.segment]
        for stripe in range(operation.a, operation.b):
            if not _check_placed(stripes, segment, stripe, attempt_of(found.epoch, record.number), repairs):
                found.records.pop()
                found.trusted = {index: min(count, len(found.records)) for index, count in found.trusted.items()}
                return _apply(found.records, label.chunk_bytes * code.data), {}
    return state, repairs


def _check_placed(stripes: Stripes, segment: Segment, stripe: int, attempt: int, repairs: dict[int, Writes]) -> bool:
    """Whether a stripe is in place by this attempt; the units that it lacks go to `repairs`."""
    round_ = segment.rounds[stripe]
    units = stripes.units(segment, stripe, round_)
    if len(units) < stripes.code.data or next(iter(units.values())).attempt != attempt:
        return False
    chunks = {column: unit.chunk for column, unit in units.items()}
    for index in stripes.writers(segment):
        column = stripes.column_of(stripe, index)
        if column not in units:
            chunk = stripes.code.column(chunks, column)
            header = stripes.header(segment, stripe, index, round_, attempt, chunk)
            repairs.setdefault(index, []).append((segment.number, stripe * stripes.unit_bytes, [header, chunk]))
    return True


def _apply(records: list[tuple[Record, bytes]], stripe_bytes: int) -> ArrayState:
    """The state that the records lead to."""
    state = ArrayState.decode(records[0][0].meta, stripe_bytes)
    for record, data in records[1:]:
        at = 0
        for operation in decode_operations(record.meta):
            if operation.do == Do.CREATE:
                segment = Segment(operation.segment, attempt_of(record.epoch, record.number), operation.a, stripe_bytes)
                state.segments[operation.segment] = segment
            elif operation.do == Do.REMOVE:
                del state.segments[operation.segment]
            elif operation.do == Do.DATA:
                _keep(state, operation, data[at : at + operation.b])
                at += operation.b
            elif operation.do == Do.PLACED:
                segment = state.segments[operation.segment]
                for stripe in range(operation.a, operation.b):
                    segment.placed(stripe)
                    segment.buffers.pop(stripe, None)
            elif operation.do == Do.REBUILT:
                state.members[operation.segment].mark = operation.a
    return state


def _keep(state: ArrayState, operation: Operation, data: bytes) -> None:
    """Bytes that are in the journal only. Over a stripe in place the first are all of its bytes (P1)."""
    segment = state.segments[operation.segment]
    stripe, start = divmod(operation.a, segment.stripe_bytes)
    buffer = segment.buffers.get(stripe)
    if buffer is None:
        buffer = state.make_buffer(segment, stripe, None)
    buffer.data[start : start + len(data)] = data
    buffer.synced.add(start, start + len(data))
