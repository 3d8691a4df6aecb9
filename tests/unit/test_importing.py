"""What is neither a recording nor a log nor a capture."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from tools.importing import opened
from tools.recording import RecordingError

LENGTH = 16 << 20


def test_a_file_without_lines_is_not_gathered_in_memory(tmp_path: Path) -> None:
    source = tmp_path / "volume.bin"
    source.write_bytes(bytes(LENGTH))
    tracemalloc.start()
    try:
        with pytest.raises(RecordingError, match="neither a capture of frames nor a log"), opened(source):
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < LENGTH // 4
