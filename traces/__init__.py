"""Recorded channel programs, one folder each (data); README.md says where each came from."""

from pathlib import Path


def recording_folder(name: str) -> Path:
    """Return the folder of a recording that comes with the program, `linux-cdl-2107` for one."""
    return Path(__file__).parent / name
