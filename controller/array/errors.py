"""What can go wrong in the array: the world's faults, each one line for a person. Our own bugs are AssertionError."""


class StoreError(Exception):
    """The store cannot do what was asked; the text is one line. Root of every error of this room."""


class DiskError(StoreError):
    """The medium failed. What was not yet durable may be lost; the array fences itself when a commit ends so."""


class DiskFullError(DiskError):
    """The medium has no room for another segment."""


class StoreLockedError(StoreError):
    """Another process, or another object of this one, has the store open."""


class FencedError(StoreError):
    """A commit failed earlier: this array takes no more writes until it is closed and opened again. Reads go on."""

    def __init__(self) -> None:
        super().__init__("the array is fenced: a commit failed, nothing more is written until it is opened again")


class UnknownVolumeError(StoreError):
    """The volume is not defined."""

    def __init__(self, volume: int) -> None:
        self.volume = volume
        super().__init__(f"volume {volume:04X} is not defined")


class CorruptionError(StoreError):
    """Bytes that were durable are no longer what was written. Never returned as data, never passed over in silence.

    `segment` is the segment's number, `offset` the byte in it (a record's first byte, unless `reason` says otherwise).
    """

    def __init__(self, segment: int, offset: int, reason: str) -> None:
        self.segment = segment
        self.offset = offset
        self.reason = reason
        super().__init__(f"segment {segment}, offset {offset}: {reason}")
