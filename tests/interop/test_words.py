"""Operators' words between two real systems: a whole day, as an operator types it, and what a machine reads of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pexpect
import pytest
import trio

from ccw.geometry import Cchh
from host_emulator import orders
from host_emulator.session import HostSession, open_session
from tests.helpers.configurations import copy_examples, free_port
from tests.helpers.light import until_lit
from tests.helpers.patience import PATIENCE_S
from tests.helpers.words import verdicts as say_words
from tools import words_reference
from tools.demo_sites import SiteProcess, start_site

TO_B = "-remotedev 0200:00:000000067890"
BRIDGE_AT_B = "mkbridgevol -role secondary-data F0\nmkbridgevol -role primary-status F1\n"
BRIDGE_AT_A = "mkbridgevol -role primary-data F0\nmkbridgevol -role secondary-status F1\n"


class Sites(NamedTuple):
    """Both systems, and where their host ports are."""

    a: SiteProcess
    b: SiteProcess
    to_a: str
    to_b: str
    managed_a: str


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[Sites]:
    ports = copy_examples(tmp_path)
    with (tmp_path / "a.toml").open("a", encoding="utf-8") as config:
        config.write('\n[management]\nlisten = "127.0.0.1:0"\n')
    with ExitStack() as stack:
        b = stack.enter_context(start_site(tmp_path, tmp_path / "b.toml"))
        a = stack.enter_context(start_site(tmp_path, tmp_path / "a.toml"))
        until_lit(a, 0x10, 0x11)
        targets = [f"tcp://127.0.0.1:{ports[port]}" for port in ("4000", "4001")]
        yield Sites(a, b, *targets, a.management)


def word(target: str, text: str, status: int = 0) -> dict[str, Any]:
    """A word on the command line, with `--json`."""
    group, *words = text.split()
    command = [sys.executable, "-m", "tools", group, words[0], "--target", target, "--json", *words[1:]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    assert done.stdout.count("\n") == 1 and done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["exit"] == status
    return found


def lines(target: str, text: str) -> list[dict[str, Any]]:
    """The same words as a script; each line has to end well."""
    command = [sys.executable, "-m", "tools", "host", "--json", "--target", target, "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def verdicts(reports: list[dict[str, Any]]) -> list[str]:
    return [result["verdict"] for report in reports for result in report.get("results", [])]


@contextmanager
def on_a_terminal(*arguments: str, term: str = "xterm", state: Path | None = None) -> Iterator[pexpect.spawn[str]]:
    """A command as a person sees it, who may interrupt it also where the tests themselves are not to be interrupted."""
    environment = {**os.environ, "TERM": term, "NO_COLOR": "1", "XDG_STATE_HOME": str(state)}
    child = pexpect.spawn(
        sys.executable, ["-m", "tools", *arguments], env=environment, encoding="utf-8", timeout=PATIENCE_S,
        dimensions=(50, 160), preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        yield child
    finally:
        child.close(force=True)


def ended(child: pexpect.spawn[str]) -> int | None:
    """Its exit status, when it has said everything."""
    child.expect(pexpect.EOF)
    child.close()
    return child.exitstatus


def test_a_day_of_an_operator(sites: Sites) -> None:
    """Paths, a bridge, a pair, waiting, a query, freeze and run, resynchronisation, deletion; then all of it again."""
    a, b = sites.to_a, sites.to_b
    assert verdicts(lines(b, BRIDGE_AT_B)) == ["done"] * 2
    paths = f"mkpprcpath {TO_B} -consistgrp 0010:0020 0011:0021\n"
    reports = lines(a, BRIDGE_AT_A + paths + "mkbridge F0:F0\nformat device=05 cylinder=0 head=1 records=3 length=80\n")
    assert verdicts(reports) == ["done"] * 4
    made = word(a, "pair mkpprc --wait 05:15")
    assert (made["results"][0]["verdict"], made["results"][0]["text"]) == ("done", "full duplex")
    assert made["results"][0]["order"].startswith("D2000040")
    (row,) = word(sites.to_b, "pair lspprc -check")["results"][0]["pairs"]
    assert (row["id"], row["state_name"], row["why"]) == ("0005:0015", "Target Full Duplex", None)
    write = "write-record device=05 cylinder=0 head=1 record=2 data=" + "C6" * 80
    day = (
        "freezepprc\nlspprc\nunfreezepprc\n" + write + f"\n{paths}mkbridge F0:F0\n"
        "CESTPAIR DEVN(05) PRIM(0100 12345 05) -\n  SEC(0200 67890 15) MODE(RESYNC) MSGREQ(YES)\ncquery devn(5)\n"
    )
    reports = lines(a, day)
    assert verdicts(reports) == ["done"] * 7 and reports[1]["results"][0]["pairs"][0]["why"]["code"] == "frozen"
    assert reports[-1]["results"][0]["state"] == "DUPLEX"
    again = lines(a, BRIDGE_AT_A + paths + "mkbridge F0:F0\nmkpprc 05:15\nresumepprc 05:15\nunfreezepprc\n")
    assert verdicts(again) == ["already"] * 7
    assert verdicts(lines(a, "rmpprc 05:15\nrmpprc 05:15\n")) == ["done", "already"]
    assert lines(b, "write-record device=15 cylinder=0 head=1 record=2 data=" + "C6" * 80)[0]["ok"], "a host may use it"


async def test_failover_failback_and_home_again(tmp_path: Path) -> None:
    """A dies, hosts go on at B, A comes back and takes what was written there; then everything goes home."""
    ports = copy_examples(tmp_path)
    for name, first, kind in (("b", 0x22, "listen"), ("a", 0x12, "connect")):
        with (tmp_path / f"{name}.toml").open("a", encoding="utf-8") as config:
            for volume in ("F2", "F3"):
                config.write(f'\n[[volume]]\naddress = "{volume}"\ncylinders = 20\n')
            for index in (0, 1):
                where = f"127.0.0.1:{ports.setdefault(f'back{index}', free_port())}"
                config.write(f'\n[[port]]\nsaid = "{first + index:04X}"\nkind = "peer"\n{kind} = "{where}"\n')
    with ExitStack() as stack:
        stack.enter_context(start_site(tmp_path, tmp_path / "b.toml"))
        async with open_session("127.0.0.1", ports["4001"]) as to_b:
            with start_site(tmp_path, tmp_path / "a.toml") as a:
                await trio.to_thread.run_sync(until_lit, a, 0x10, 0x11)
                async with open_session("127.0.0.1", ports["4000"]) as to_a:
                    await mirrored(to_a, to_b)
                    assert await said(to_b, "failbackpprc 15:05") == ["refused"], "not yet a primary"
                    a.process.kill()
            assert await said(to_b, "failoverpprc 15:05", "failoverpprc 15:05") == ["done", "already"]
            await write(to_b, 0x15, 2, 0xC2)
            a = stack.enter_context(start_site(tmp_path, tmp_path / "a.toml"))
            await trio.to_thread.run_sync(until_lit, a, 0x10, 0x11, 0x12, 0x13)
            async with open_session("127.0.0.1", ports["4000"]) as to_a:
                await back_and_home(to_a, to_b)


async def said(session: HostSession, *texts: str) -> list[str]:
    """What became of words, one after the other."""
    return [verdict for text in texts for verdict in await say_words(session, text)]


async def mirrored(to_a: HostSession, to_b: HostSession) -> None:
    """Pair 05:15 is duplex, with something on it."""
    assert await said(to_b, *BRIDGE_AT_B.splitlines()) == ["done"] * 2
    there = (f"mkpprcpath {TO_B} 0010:0020 0011:0021", "mkbridge F0:F0", "mkpprc -wait 05:15")
    assert await said(to_a, *BRIDGE_AT_A.splitlines(), *there) == ["done"] * 5
    records = [orders.NewRecord(bytes(80))] * 3
    assert (await to_a.run_program(0x05, orders.format_track(Cchh(0, 1), records))).completed
    await write(to_a, 0x05, 1, 0xC1)


async def back_and_home(to_a: HostSession, to_b: HostSession) -> None:
    """A takes what was written at B, over a bridge of the other direction; then A is the primary again."""
    await said(to_a, "mkbridgevol -role secondary-data -number 2 F2", "mkbridgevol -role primary-status -number 2 F3")
    back = (
        "mkbridgevol -role primary-data -number 2 F2", "mkbridgevol -role secondary-status -number 2 F3",
        "mkpprcpath -remotedev 0100:00:000000012345 0022 0023", "mkbridge -number 2 F2:F2",
        "failbackpprc -wait 15:05", "failbackpprc 15:05", "lspprc -check",
    )  # fmt: skip
    assert await said(to_b, *back) == ["done"] * 5 + ["already", "done"]
    assert await said(to_a, "lspprc -state target-full-duplex -check") == ["done"]
    await write(to_b, 0x15, 2, 0xC3)
    assert await said(to_b, "pausepprc 15:05") == ["done"]
    over = "CESTPAIR DEVN(05) PRIM(0100 12345 05) SEC(0200 67890 15) ACTION(FAILOVER)"
    assert await said(to_a, over, over) == ["done", "already"]
    await write(to_a, 0x05, 1, 0xC4)
    assert await said(to_a, "failbackpprc -wait 05:15", "lspprc -check", "rmpprc 05:15") == ["done"] * 3
    for session, device in ((to_a, 0x05), (to_b, 0x15)):
        kept = [(await session.run_program(device, orders.read_record(Cchh(0, 1), record))).data for record in (1, 2)]
        assert kept == [bytes((0xC4,)) * 80, bytes((0xC3,)) * 80]


async def write(session: HostSession, device: int, record: int, byte: int) -> None:
    result = await session.run_program(device, orders.write_record(Cchh(0, 1), record, bytes((byte,)) * 80))
    assert result.completed, result


def test_what_goes_wrong_has_an_exit_status(sites: Sites) -> None:
    """Refused, named wrongly, not in time, stopped, gone: each its own, and one line for people."""
    a = sites.to_a
    assert "has to be named whole" in word(a, "pair mkpprc 05:15", 2)["results"][0]["text"]
    assert word(a, f"path mkpprcpath {TO_B} 0099", 1)["results"][0]["sense"][14:18] == "0F47"
    assert "link offline" not in word(a, f"path mkpprcpath {TO_B} 0010 0011")["results"][0]["text"]
    late = word(a, "pair mkpprc --wait --timeout 5 05:15", 4)["results"][0]
    assert late["verdict"] == "not-yet" and "waiting for a bridge: none is defined" in late["text"]
    with on_a_terminal("pair", "mkpprc", "--target", a, "-wait", "05:15") as waiting:
        waiting.expect("waiting for a bridge")
        word(a, "pair pausepprc 05:15")
        waiting.expect("trackbridge: mkpprc: 05:15: stopped: suspended by a host's command to the primary")
        assert ended(waiting) == 5
    with on_a_terminal("pair", "resumepprc", "--target", a, "--wait", "05:15") as waiting:
        waiting.expect("waiting for a bridge")
        sites.a.process.kill()
        waiting.expect("trackbridge: resumepprc: 05:15: no answer: ")
        assert ended(waiting) == 3
    assert word(a, "pair lspprc", 3)["results"][0]["verdict"] == "unanswered"
    command = [sys.executable, "-m", "tools", "top", "--once", "--json", "--target", a, "--target", sites.to_b]
    looked = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    lost, left = map(json.loads, looked.stdout.splitlines())
    assert looked.returncode == 3 and looked.stderr == "" and lost["problem"]
    assert (left["problem"], left["pairs"][0]["state_name"]) == (None, "Target Copy Pending")


def test_the_prompt_and_the_bar(sites: Sites) -> None:
    """On a terminal: a bar shows what is waited for, and an interrupt leaves the copy alone."""
    word(sites.to_a, f"path mkpprcpath {TO_B} 0010 0011")
    with on_a_terminal("pair", "mkpprc", "--system", sites.managed_a, "-wait", "05:15") as child:
        child.expect("0/300.*tracks, left.*waiting for a bridge")
        child.kill(signal.SIGINT)
        child.expect("interrupted; what was begun goes on")
        assert ended(child) == 130
    with on_a_terminal("top", "--target", sites.to_a, "--target", sites.to_b, "--interval", "0.2") as child:
        child.expect("1 copy pending; 300 tracks to copy")
        sites.b.process.kill()
        child.expect("paths: 0 of 2 work")
        child.kill(signal.SIGINT)
        assert ended(child) == 0
    with on_a_terminal("host", "--target", sites.to_a, term="dumb", state=sites.a.folder) as child:
        child.expect("host --> ")
        child.sendline("lspprc")
        child.expect("why: queued at position 1 of 1; no path works: 0010 link offline")
        child.sendline("mkpprc 05")
        child.expect("column 8: '05' is not SOURCE:TARGET")
        child.sendline("CQUERY -")
        child.expect(r"\.\.\.> ")
        child.sendline("DEVN(05) UNFORMAT")
        child.expect("0005,PRIMARY,PENDING,INACTIVE,")
        child.sendline("help cquery")
        child.expect("CQUERY DEVN")
        child.sendline("quit")
        assert ended(child) == 0


def test_the_page_is_up_to_date() -> None:
    page = words_reference.PAGE.read_text(encoding="utf-8")
    assert page == words_reference.page(), "run python -m tools.words_reference"
