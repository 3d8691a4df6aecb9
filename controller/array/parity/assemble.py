"""Puts an array together from its devices: who belongs to it, what the journal says, and that it is hard (P4-P9)."""

from collections.abc import Sequence
from functools import partial

from controller.array.disk import Disk
from controller.array.errors import DiskError, StoreError
from controller.array.parity.devices import Device, DeviceSet, Each, run_in_order
from controller.array.parity.disk import ParityDisk, create_anew
from controller.array.parity.erasure import ErasureCode
from controller.array.parity.format import (
    CHUNK_BYTES,
    JOURNAL_BYTES,
    JOURNAL_SEGMENTS,
    LABEL_BYTES,
    LABEL_SEGMENT,
    RECORD_HEADER_BYTES,
    Label,
    attempt_of,
    check_shape,
    decode_label,
    digest,
    encode_label,
    encode_record,
)
from controller.array.parity.journal import split
from controller.array.parity.replay import Found, find_journal, replay
from controller.array.parity.state import ArrayState, Condition, Member, Segment


def open_parity(
    disks: Sequence[Disk | None],
    *,
    parity: int,
    names: Sequence[str] = (),
    missing: Sequence[str] = (),
    chunk_bytes: int = CHUNK_BYTES,
    journal_bytes: int = JOURNAL_BYTES,
    each: Each = run_in_order,
) -> ParityDisk:
    """Open the array that these devices are, in order; a new one when all of them are blank.

    `disks`: None for a device that is not there, `missing` says why; `names` for people. Chunk and journal lengths
    count for a new array only. Raises StoreError, one line, when a device belongs elsewhere or too few can be used;
    ValueError when the numbers cannot make an array.
    """
    check_shape(len(disks), parity)
    names = names or [f"device {index + 1}" for index in range(len(disks))]
    devices = DeviceSet(
        [
            Device(names[index], disk, "" if disk is not None else (missing[index] if missing else "it is missing"))
            for index, disk in enumerate(disks)
        ],
        each,
    )
    writable = all(disk.writable for disk in disks if disk is not None)
    code = ErasureCode(len(disks) - parity, parity)
    labels = _read_labels(devices)
    label = _common_label(labels, names, len(disks), parity)
    found = find_journal(devices, labels, code) if label is not None else None
    if label is None or found is None:
        _check_new(devices, labels, writable)
        array = label.array if label is not None else devices[0].ready.new_identity()
        return _make(devices, code, array, chunk_bytes, journal_bytes)
    return _open(devices, labels, label, code, found, writable)


def _read_labels(devices: DeviceSet) -> dict[int, Label]:
    """The label of every device that has one. A device that cannot be read is let go; one with foreign segments is
    refused."""
    labels = {}
    for index in devices.there():
        device = devices[index]
        try:
            segments = device.ready.segments()
            if LABEL_SEGMENT in segments:
                labels[index] = decode_label(device.ready.read(LABEL_SEGMENT, 0, LABEL_BYTES), device.name)
            elif any(segment not in JOURNAL_SEGMENTS for segment in segments):
                raise StoreError(f"{device.name} is not a device of a parity array: it has segments, but no label")
        except DiskError as error:
            devices.drop(index, str(error))
    return labels


def _common_label(labels: dict[int, Label], names: Sequence[str], devices: int, parity: int) -> Label | None:
    """What the labels agree on; StoreError where one belongs elsewhere. None: there are no labels."""
    if not labels:
        return None
    arrays = [label.array for label in labels.values()]
    array = max(arrays, key=lambda one: (arrays.count(one), -arrays.index(one)))
    for index, label in labels.items():
        if label.array != array:
            raise StoreError(f"{names[index]} is a device of another array: {label.array:016X}, not {array:016X}")
        if label.position != index:
            raise StoreError(
                f"{names[index]} is device {label.position + 1} of its array, but stands in place {index + 1}:"
                " the devices are in another order"
            )
        if (label.devices, label.parity) != (devices, parity):
            raise StoreError(
                f"{names[index]} is of an array of {label.devices} devices with parity {label.parity},"
                f" not of {devices} with parity {parity}"
            )
    return next(iter(labels.values()))


# A new array


def _check_new(devices: DeviceSet, labels: dict[int, Label], writable: bool) -> None:
    """Labels without a journal are an array whose making was cut off: nobody ever wrote to it (and none has data)."""
    for index, device in enumerate(devices.devices):
        if device.disk is None:
            raise StoreError(f"no array can be opened or made: {device.name}: {device.why}")
        if index in labels and any(number < LABEL_SEGMENT for number in device.disk.segments()):
            raise StoreError(f"{device.name} has segments, but no device of the array has a journal that can be read")
    if not writable:
        raise StoreError("there is no parity array on these devices")


def _make(devices: DeviceSet, code: ErasureCode, array: int, chunk_bytes: int, journal_bytes: int) -> ParityDisk:
    if not 0 < chunk_bytes <= journal_bytes // 16 or journal_bytes % 4096:
        raise ValueError(f"chunks of {chunk_bytes} bytes with a journal of {journal_bytes} cannot be")
    members = []
    for index in range(len(devices)):
        disk = devices[index].ready
        label = Label(
            len(devices), code.parity, index, chunk_bytes, journal_bytes, array, device_identity(disk, index, 0)
        )
        members.append(Member(label.device, Condition.IN))
        make_device(disk, label)
    state = ArrayState(members, chunk_bytes * code.data)
    disk = ParityDisk(devices, label, code, state, 0, writable=True)
    disk.checkpoint()
    return disk


def device_identity(disk: Disk, index: int, attempt: int) -> int:
    """An identity that no other device of the array had, also where chance is not to be had."""
    return digest(f"{disk.new_identity()} {index} {attempt}".encode())


def make_device(disk: Disk, label: Label) -> None:
    """Journal first, label last: a device with a label is whole."""
    for number in disk.segments():
        disk.remove(number)
    for half in JOURNAL_SEGMENTS:
        disk.create(half, label.journal_bytes, bytes(RECORD_HEADER_BYTES))  # a recycled file holds an old journal
    disk.create(LABEL_SEGMENT, LABEL_BYTES, encode_label(label))


def attach(disk: ParityDisk, index: int, medium: Disk) -> None:
    """Take a device into an array in place of one that is out; from now on it is written to, and can be rebuilt.

    Everything on `medium` is given up. Raises StoreError, before that, when the place is taken or `medium` is a device
    of another array or of another place, or holds anything else.
    """
    with disk.lock:
        device = disk.devices[index]
        check_vacant(disk, index)
        check_replacement(medium, disk.label, index, device.name)
        attempt = attempt_of(disk.journal.epoch, disk.journal.number + 1)
        label = disk.label._replace(position=index, device=device_identity(medium, index, attempt))
        make_device(medium, label)
        device.disk, device.why = medium, ""
        disk.state.members[index] = Member(label.device, Condition.REBUILDING, attached=attempt)
        disk.checkpoint()
        disk.notices.append(f"{device.name} is replaced and will be rebuilt")


def check_vacant(disk: ParityDisk, index: int) -> None:
    """Raise StoreError unless the device of a place is out."""
    if disk.state.members[index].condition != Condition.OUT:
        raise StoreError(f"{disk.devices[index].name} is in use: only a device that is out can be replaced")


def check_replacement(medium: Disk, label: Label, index: int, name: str) -> None:
    """Raise StoreError unless a disk is blank, or was this device of this array before."""
    segments = medium.segments()
    if not segments:
        return
    if LABEL_SEGMENT not in segments:
        if any(number not in JOURNAL_SEGMENTS for number in segments):
            raise StoreError(f"{name} cannot take a place in the array: it is neither blank nor a device of this array")
        return
    found = decode_label(medium.read(LABEL_SEGMENT, 0, LABEL_BYTES), name)
    if found.array != label.array:
        raise StoreError(f"{name} is a device of another array: {found.array:016X}, not {label.array:016X}")
    if found.position != index:
        raise StoreError(f"{name} is device {found.position + 1} of this array, it cannot take place {index + 1}")


# An array that was there


def _open(
    devices: DeviceSet, labels: dict[int, Label], label: Label, code: ErasureCode, found: Found, writable: bool
) -> ParityDisk:
    _let_go_of_strangers(devices, labels, found)
    if len(found.trusted) < code.data:
        why = "; ".join(f"{device.name}: {device.why}" for device in devices.devices if device.disk is None)
        raise StoreError(f"{len(found.trusted)} of {len(devices)} devices can be used, {code.data} are needed ({why})")
    state, repairs = replay(found, devices, label, code)
    disk = ParityDisk(devices, label, code, state, found.epoch, writable=writable)
    for index, member in enumerate(state.members):
        if devices[index].disk is None:
            member.condition = Condition.OUT
            disk.notices.append(f"{devices[index].name} is out: {devices[index].why}")
    if writable:
        _harden(disk, found)
        for index, number in _misfits(disk):
            disk.notices.append(f"{devices[index].name}: segment {number} was missing: made anew, a scrub fills it")
        tasks = {index: partial(_repair_units, disk, index, repairs.get(index, []), found) for index in found.trusted}
        disk.count_out(devices.call({index: task for index, task in tasks.items() if devices[index].disk is not None}))
        disk.checkpoint()
        disk.settle(devices.call({index: partial(_remove_orphans, disk, index) for index in devices.there()}))
    return disk


def _let_go_of_strangers(devices: DeviceSet, labels: dict[int, Label], found: Found) -> None:
    """Drop the devices that must not be trusted (P7), with the reason."""
    for index in devices.there():
        if index not in found.trusted:
            why = found.why.get(index) or ("it is blank" if index not in labels else "it has no journal")
            devices.drop(index, why)


def _harden(disk: ParityDisk, found: Found) -> None:
    """Let every device forget the STATE that never happened (P9), and give it the records that were believed (P6)."""

    def write(index: int) -> None:
        medium = disk.devices[index].ready
        for epoch in found.cut_off[index]:
            half = JOURNAL_SEGMENTS[epoch % 2]
            medium.write(half, 0, [bytes(RECORD_HEADER_BYTES)])
            medium.sync(half)
        for record, data in found.records[found.trusted[index] :]:
            part = split(disk.code, data)[index] if data else b""
            text = encode_record(
                disk.label.array, index, record.epoch, record.number, record.meta, part, len(data), record.offset
            )
            medium.write(disk.journal.half, record.offset, [text])
        medium.sync(disk.journal.half)

    disk.count_out(disk.devices.call({index: partial(write, index) for index in found.trusted}))


def _misfits(disk: ParityDisk) -> list[tuple[int, int]]:
    """Segments that a device should have and has not, or not in their length; they are made anew, empty."""
    made = []
    for index in disk.devices.there():
        medium = disk.devices[index].ready
        lengths = medium.segments()
        for number, segment in disk.state.segments.items():
            length = disk.stripes.segment_bytes(segment)
            if disk.state.members[index].holds(segment.incarnation) and lengths.get(number) != length:
                failed = disk.devices.call({index: partial(create_anew, medium, number, length)})
                disk.count_out(failed)
                if failed:
                    break
                made.append((index, number))
    return made


def _repair_units(disk: ParityDisk, index: int, units: list[tuple[int, int, list[bytes]]], found: Found) -> None:
    """Write the units of the last record that a crash left out, and sync what that record put in place (P6)."""
    medium = disk.devices[index].ready
    for number, offset, parts in units:
        medium.write(number, offset, parts)
    for number in found.last_segments:
        if number in medium.segments():
            medium.sync(number)


def _remove_orphans(disk: ParityDisk, index: int) -> None:
    medium = disk.devices[index].ready
    for number in medium.segments():
        if number < LABEL_SEGMENT and not _belongs(disk, index, disk.state.segments.get(number)):
            medium.remove(number)


def _belongs(disk: ParityDisk, index: int, segment: Segment | None) -> bool:
    return segment is not None and disk.state.members[index].holds(segment.incarnation)
