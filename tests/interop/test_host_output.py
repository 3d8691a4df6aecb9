"""`trackbridge host` whose output goes nowhere any more: to a disk that is full, to somebody who reads no further."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path
from random import Random

COMMAND = [sys.executable, "-m", "tools", "host", "--target", "in-process", "-"]
PATIENCE_S = 60
FILE_BYTES = 40_000  # the longest file that can be written
RECORD_BYTES = 20_000


def limit_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))


def record(folder: Path, *writes: str) -> subprocess.CompletedProcess[str]:
    first = ("device 00", f"format cylinder=1 head=0 records=1 length={RECORD_BYTES}", f"record {folder}")
    return subprocess.run(
        COMMAND, input="\n".join((*first, *writes)), capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        preexec_fn=limit_files,
    )  # fmt: skip


def test_a_recording_for_which_there_is_no_room_is_none(tmp_path: Path) -> None:
    random = Random(1)  # what is written cannot be compressed
    writes = [f"write-record cylinder=1 head=0 record=1 data={random.randbytes(RECORD_BYTES).hex()}" for _ in range(6)]
    ended = record(tmp_path / "recording", *writes, "record off")
    assert (ended.returncode, ended.stderr) == (1, "")
    assert "trace.jsonl.gz: File too large; nothing more is recorded" in ended.stdout
    assert not (tmp_path / "recording" / "recording.toml").exists()


def test_a_recording_that_cannot_be_ended_is_told(tmp_path: Path) -> None:
    data = Random(1).randbytes(RECORD_BYTES).hex()
    write = f"write-record cylinder=1 head=0 record=1 data={data}"
    ended = record(tmp_path / "recording", write, write)  # fills what is written at the end only
    assert ended.returncode == 1, ended.stdout
    assert ended.stderr.startswith("host: ")
    assert "trace.jsonl.gz: File too large" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_who_reads_no_further_is_not_told_so() -> None:
    with subprocess.Popen(
        COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as host:
        assert host.stdin is not None and host.stdout is not None and host.stderr is not None
        host.stdin.write("sense device=00\n" * 2000)
        host.stdin.close()
        assert host.stdout.readline()
        host.stdout.close()
        assert host.stderr.read() == ""
        host.wait(PATIENCE_S)
