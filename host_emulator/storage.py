"""The main storage that channel programs and their data live in: sparse, byte-addressed."""

PAGE_BYTES = 4096
FORMAT_0_BYTES = 1 << 24


class AddressingError(Exception):
    """An address outside the storage; a program check to the channel."""

    def __init__(self, address: int) -> None:
        super().__init__(f"address {address:X} is outside the storage")
        self.address = address


class MainStorage:
    """`size_bytes` of storage, zero at first; only pages that were stored to take memory."""

    def __init__(self, size_bytes: int = FORMAT_0_BYTES) -> None:
        self.size_bytes = size_bytes
        self._pages: dict[int, bytearray] = {}

    def check(self, address: int, length_bytes: int = 1) -> None:
        """Raise AddressingError unless the whole range lies in storage."""
        if address < 0 or address + length_bytes > self.size_bytes:
            raise AddressingError(max(address, self.size_bytes))

    def fetch(self, address: int, length_bytes: int) -> bytes:
        """The bytes of a range. Raises AddressingError."""
        self.check(address, length_bytes)
        parts = []
        while length_bytes:
            number, offset = divmod(address, PAGE_BYTES)
            step = min(length_bytes, PAGE_BYTES - offset)
            page = self._pages.get(number)
            parts.append(bytes(step) if page is None else page[offset : offset + step])
            address += step
            length_bytes -= step
        return b"".join(parts)

    def store(self, address: int, data: bytes) -> None:
        """Store `data`. Raises AddressingError before anything is stored."""
        self.check(address, len(data))
        done = 0
        while done < len(data):
            number, offset = divmod(address + done, PAGE_BYTES)
            step = min(len(data) - done, PAGE_BYTES - offset)
            page = self._pages.setdefault(number, bytearray(PAGE_BYTES))
            page[offset : offset + step] = data[done : done + step]
            done += step
