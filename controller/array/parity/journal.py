"""The journal of a parity array: records of an epoch, one behind the other in a half, coded over the devices."""

from controller.array.disk import Disk
from controller.array.errors import DiskError
from controller.array.parity.erasure import ErasureCode
from controller.array.parity.format import (
    JOURNAL_SEGMENTS,
    OPERATION_BYTES,
    Label,
    Operation,
    Record,
    decode_record,
    encode_operations,
    encode_record,
    record_size,
)


def read_half(disk: Disk, label: Label, half: int) -> list[Record]:
    """The whole records of a half: STATE and the changes behind it; empty if there is no STATE."""
    try:
        data = memoryview(disk.read(JOURNAL_SEGMENTS[half], 0, label.journal_bytes))
    except DiskError:
        return []
    records: list[Record] = []
    offset = 0
    while (record := decode_record(data, label.array, label.position, offset)) is not None:
        epoch = records[0].epoch if records else record.epoch
        if (record.epoch, record.number) != (epoch, len(records)) or epoch % 2 != half:
            break
        records.append(record)
        offset += record.size
    return records


def split(code: ErasureCode, data: bytes) -> list[bytes]:
    """The parts of a record's data, one for each device; empty parts for no data."""
    if not data:
        return [b""] * code.columns
    length = -(-len(data) // code.data)
    padded = data.ljust(length * code.data, b"\0")
    parts = [padded[start : start + length] for start in range(0, len(padded), length)]
    return parts + code.encode(parts)


def join(code: ErasureCode, data_length: int, parts: dict[int, bytes]) -> bytes | None:
    """The data of a record from the parts of some devices; None if there are too few."""
    if not data_length:
        return b""
    if len(parts) < code.data:
        return None
    return b"".join(code.decode(parts))[:data_length]


class Journal:
    """Where the next record goes. Knows no device: it makes the bytes for each."""

    def __init__(self, label: Label, code: ErasureCode, epoch: int) -> None:
        self._label = label
        self._code = code
        self.epoch = epoch
        self.number = 0
        self.offset = 0

    @property
    def half(self) -> int:
        """The device segment of the epoch."""
        return JOURNAL_SEGMENTS[self.epoch % 2]

    @property
    def data_max(self) -> int:
        """About the most bytes of data in a record: an eighth of a half on each device."""
        return self._label.journal_bytes // 8 * self._code.data - self._label.chunk_bytes * self._code.data

    @property
    def operations_max(self) -> int:
        """About the most operations in a record."""
        return self._label.journal_bytes // 8 // OPERATION_BYTES - 64

    def fits(self, operations: int, data_length: int) -> bool:
        """Whether a record of that size has room in this epoch."""
        size = record_size(operations * OPERATION_BYTES, -(-data_length // self._code.data))
        return self.offset + size <= self._label.journal_bytes

    def append(self, operations: list[Operation], data: bytes) -> tuple[int, list[bytes]]:
        """The next record: its offset, and its bytes for each device."""
        meta = encode_operations(operations)
        self.number += 1
        return self._record(meta, split(self._code, data), len(data))

    def start_epoch(self, state: bytes) -> tuple[int, list[bytes]]:
        """The next epoch, its STATE. DiskError when the state has outgrown the journal."""
        if record_size(len(state), 0) > self._label.journal_bytes // 2:
            raise DiskError(f"the parity journal is too small for a state of {len(state)} bytes")
        self.epoch += 1
        self.number = self.offset = 0
        return self._record(state, [b""] * self._code.columns, 0)

    def _record(self, meta: bytes, parts: list[bytes], data_length: int) -> tuple[int, list[bytes]]:
        offset = self.offset
        records = [
            encode_record(self._label.array, index, self.epoch, self.number, meta, part, data_length, offset)
            for index, part in enumerate(parts)
        ]
        self.offset += len(records[0])
        return offset, records
