"""The prompt as a person meets it, through a pseudo terminal; the same lines from a pipe; a session that replays."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pytest

from ccw.ccws import UnitStatus
from ccw.frames import StatusFrame, decode_device, decode_frame
from ccw.pcapng import PcapngReader
from tests.helpers.configurations import CONFIG
from tests.helpers.patience import PATIENCE_S
from tests.helpers.utilities import utility
from tests.helpers.vtoc_volume import FORMAT_LABEL, FORMAT_VTOC, extent

COMMAND = [sys.executable, "-m", "tools", "host", "--target", "in-process"]
UNDER_WAY_S = 1  # a command that was told busy goes on waiting
FRAME = 1  # first byte of a record that is a frame


def run(text: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *options, "-"], input=text, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


@pytest.fixture
def prompt(tmp_path: Path) -> Iterator[pexpect.spawn[str]]:
    with at_prompt(tmp_path, "in-process") as child:
        yield child


def test_a_session_at_the_prompt(prompt: pexpect.spawn[str], tmp_path: Path) -> None:
    prompt.sendline("format cylinder=1 head=2 records=2 length=16 fill=C1")
    prompt.expect("format           ok")
    prompt.sendline("seek 1,2; rd")
    prompt.expect("AAAAAAAAAAAAAAAA")
    prompt.sendline("seek 1,2; sook")
    prompt.expect("column 11: no such command: 'sook'")
    prompt.sendline("seek 99,0")
    prompt.expect("invalid parameter")
    prompt.sendline("nop")
    prompt.expect("nop              ok")
    prompt.sendline("help rd")
    prompt.expect(r"06 Read Data")
    prompt.sendcontrol("c")  # at an empty line: the session goes on
    prompt.sendline("nop")
    prompt.expect("nop              ok")
    prompt.sendline("quit")
    prompt.expect(pexpect.EOF)
    prompt.close()
    assert prompt.exitstatus == 0
    assert "seek 1,2; rd" in (tmp_path / "trackbridge" / "host-history").read_text(encoding="utf-8")


def test_an_interrupt_ends_a_command_under_way_and_not_the_session(tmp_path: Path) -> None:
    """A device that another host has reserved is busy: its command waits, up to a minute, when the interrupt comes."""
    heard = tmp_path / "prompt.pcapng"
    with (
        serving(tmp_path) as target,
        at_prompt(tmp_path, target) as holder,
        at_prompt(tmp_path, target, "--capture", str(heard)) as prompt,
    ):
        for host in (holder, prompt):
            host.sendline("device 10")
            host.expect_exact("host 10> ")
        holder.sendline("reserve")
        holder.expect("reserve          ok")
        prompt.sendline("seek 0,0; rha")
        until_told_busy(heard, 1)
        with pytest.raises(pexpect.TIMEOUT):
            prompt.expect_exact("host 10> ", timeout=UNDER_WAY_S)
        prompt.sendintr()
        prompt.expect_exact("interrupted")
        prompt.expect_exact("host 10> ")
        prompt.sendline("nop")  # busy still: a second interrupt ends the second command
        until_told_busy(heard, 2)
        with pytest.raises(pexpect.TIMEOUT):
            prompt.expect_exact("host 10> ", timeout=UNDER_WAY_S)
        prompt.sendintr()
        prompt.expect_exact("interrupted")
        holder.sendline("release")
        holder.expect("release          ok")
        prompt.sendline("seek 0,0; rha")
        prompt.expect_exact("0000  00 00000000")  # flag and track address
        prompt.sendline("quit")
        prompt.expect(pexpect.EOF)
        prompt.close()
        assert prompt.exitstatus == 0


def until_told_busy(capture: Path, times: int) -> None:
    """Wait until a prompt, which records `capture`, has been told so often that its device is busy."""
    give_up_at = time.monotonic() + PATIENCE_S
    while told_busy(capture) < times:
        assert time.monotonic() < give_up_at, "the device is not busy"
        time.sleep(0.02)


def told_busy(capture: Path) -> int:
    found = 0
    for packet in PcapngReader().feed(capture.read_bytes()):
        if packet.data[0] == FRAME and not (frame := decode_frame(packet.data[4:])).link_control:
            device = decode_device(frame.information)
            found += isinstance(device, StatusFrame) and bool(device.unit_status & UnitStatus.BUSY)
    return found


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """A running system with one device, 10: its target."""
    config = folder / "one.toml"
    config.write_text(CONFIG)
    command = [sys.executable, "-m", "tools", "serve", str(config), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        listening = json.loads(process.stdout.readline())["listening"]
        yield f"tcp://{listening['0001']}"
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
        assert process.stdout is not None
        process.stdout.close()


@contextmanager
def at_prompt(folder: Path, target: str, *options: str) -> Iterator[pexpect.spawn[str]]:
    """A prompt on a terminal of its own."""
    environment = {**os.environ, "XDG_STATE_HOME": str(folder), "TERM": "dumb", "NO_COLOR": "1"}
    command = ["-m", "tools", "host", "--target", target, *options]
    child = pexpect.spawn(
        sys.executable, command, env=environment, encoding="utf-8", timeout=PATIENCE_S, dimensions=(50, 200)
    )
    try:
        child.expect("host .*> ")
        yield child
    finally:
        child.close(force=True)


def test_lines_from_a_pipe() -> None:
    ended = run("format cylinder=1 head=2 records=1 length=8\nput 1,2,1 e'HELLO'\ntrack 1,2\n")
    assert ended.returncode == 2
    assert ended.stderr == "host: <stdin>:1:44: format needs device=HH\n"
    ended = run("device 00\nformat cylinder=1 head=2 records=1 length=8\nput 1,2,1 e'HELLO'\ntrack 1,2\n")
    assert ended.returncode == 0, ended.stderr
    assert "|HELLO...        |" in ended.stdout


def test_a_chain_that_fails_says_where_and_a_read_of_all_there_is_no_residual() -> None:
    ended = run("device 00\nsid\nrdc\nde 0,0; lr read at=0,0,5; rd\n")
    assert "sid              ok  status 0C.00\n" in ended.stdout
    assert "rdc              ok  status 0C.00 residual 0\n" in ended.stdout
    assert "stopped_at: locate record (47), command 2\n" in ended.stdout
    assert ended.returncode == 1


def test_a_mistyped_word_is_told_what_it_is_most_like() -> None:
    for text, words in (("sidd", "; did you mean sid?"), ("devise 00", "; did you mean device?"), ("qqqq", "'qqqq'\n")):
        assert words in run(f"{text}\n").stderr


def test_a_refused_program_ends_a_script_with_status_1() -> None:
    ended = run("device 00\nseek 99,0\nnop\n")
    assert ended.returncode == 1
    assert "invalid parameter" in ended.stdout
    assert "nop" not in ended.stdout


def test_the_contents_of_a_volume() -> None:
    ended = run("\n".join(["device 00", FORMAT_LABEL, FORMAT_VTOC, "vtoc"]))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "volume TST001, VTOC 0,1-0,2" in ended.stdout
    assert "PO FB 80/3120      1,0-1,14" in ended.stdout
    assert "USER.DATA" in ended.stdout
    assert "format 1: 2, format 3: 0, format 4: 1, format 5: 1" in ended.stdout


def test_a_volume_without_label() -> None:
    ended = run("device 00\nvtoc\n")
    assert ended.returncode == 1
    assert "no VOL1 label on track 0,0" in ended.stdout


def test_a_table_of_contents_that_does_not_say_where_it_is() -> None:
    nowhere = FORMAT_VTOC.replace(extent(1, (0, 1), (0, 2)), extent(0, (0, 1), (0, 2)))
    ended = run("\n".join(["device 00", FORMAT_LABEL, nowhere, "vtoc"]))
    assert (ended.returncode, ended.stderr) == (1, "")
    assert "VTOC: its format-4 DSCB names no extent" in ended.stdout


@pytest.mark.skipif(shutil.which("dasdload") is None, reason="dasdload is not installed")
def test_the_contents_of_a_volume_made_by_dasdload(tmp_path: Path) -> None:
    control = tmp_path / "volume.ctl"
    text = "TSTVOL 3390-1 *\nSYSVTOC VTOC CYL 2\nUSER.DATA EMPTY TRK 5 0 0 PS FB 80 800\n"
    control.write_text(text, encoding="ascii")
    image = tmp_path / "volume.cckd"
    utility("dasdload", "-z", control, image, makes=image)
    ended = run("device 00\nvtoc\n", "--volume", str(image))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "volume TSTVOL" in ended.stdout
    assert "USER.DATA" in ended.stdout


def test_a_recorded_session_replays(tmp_path: Path) -> None:
    folder = tmp_path / "recording"
    lines = [
        "device 00",
        "format cylinder=1 head=2 records=3 length=16 fill=C1",
        f"record {folder}",
        "seek 1,2; rd; rd",
        "put 1,2,2 e'CHANGED'",
        "de 1,2; lr read n=2 at=1,2,1; rd; rd",
        "record off",
    ]
    ended = run("\n".join(lines))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "3 programs" in ended.stdout
    command = [sys.executable, "-m", "tools", "replay", str(folder)]
    replayed = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    assert "0 differences" in replayed.stdout


def test_queries_show_identifiers_in_hex_and_names_as_text() -> None:
    ended = run("device 00\nquery paths device=00\n", "--json")
    report = json.loads(ended.stdout.splitlines()[1])
    assert (report["ssid"], report["lss"], report["serial"]) == ("0100", "00", "000000000001")


def test_an_image_that_is_none(tmp_path: Path) -> None:
    wrong = tmp_path / "x.ckd"
    wrong.write_bytes(b"nothing")
    ended = run("device 00\n", "--volume", str(wrong))
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "Traceback" not in ended.stderr
