"""The one error that bytes can raise."""


class FormatError(ValueError):
    """Bytes that are not what a format allows.

    `what` names the format, `where` the field, `offset` the byte in `data` (None: unknown).
    The text is one line: what, where, which byte, how many bytes there were.
    """

    def __init__(self, what: str, where: str, data: bytes, offset: int | None = None) -> None:
        self.what = what
        self.where = where
        self.data = bytes(data)
        self.offset = offset
        place = where if offset is None else f"{where} at byte {offset}"
        super().__init__(f"{what}: {place} (of {len(data)} bytes)")
