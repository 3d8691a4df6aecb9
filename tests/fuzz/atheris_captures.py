"""Coverage-guided: capture files and record streams, whole and in pieces."""

from __future__ import annotations

import sys


def main() -> None:
    import atheris

    with atheris.instrument_imports(include=["ccw"]):
        from tests.fuzz.decoders import READERS, find_decoders
        from tests.fuzz.engine import judge
        from tests.fuzz.seeds import capture, old_capture, records_stream
    from tests.fuzz.coverage_guided import fuzz

    found = find_decoders()
    readers = [found[name] for name in READERS]

    def one(data: bytes) -> None:
        """Every reader gets the same bytes."""
        for reader in readers:
            fault, _ = judge(reader, data)
            assert fault is None, f"{reader.name}: {fault}"

    fuzz("captures", [capture(), old_capture(), records_stream()], one)


if __name__ == "__main__":
    sys.exit(main())
