"""Operators' words as texts: both spellings, every mistake with its place, every example readable."""

from __future__ import annotations

import pytest

from ccw.pprc import PathDescriptor
from ccw.pprc_flags import PairFlag, SuspendFlag
from host_emulator.console import help_lines, parse_line, parse_lines
from host_emulator.script import ScriptError
from host_emulator.words import WORDS, ProgramError, help_of, parse_word, syntax_of
from host_emulator.words.tasks import (
    ANY,
    Action,
    DefineBridge,
    DeleteBridge,
    DeletePair,
    DeletePaths,
    EstablishBridge,
    EstablishPair,
    EstablishPaths,
    Freeze,
    Mode,
    Naming,
    OtherVolume,
    Query,
    RecoverPair,
    Run,
    ShowPairs,
    SuspendPair,
    Task,
)

A, B = Naming(0x0100, 0, "000000012345"), Naming(0x0200, 0, "000000067890")
BOXES = "PRIM(X'0100' 000000012345) SEC(X'0200' 000000067890)"
PAIR = "PRIM(0100 000000012345 05) SEC(0200,000000067890,15,00)"
LINKS = (PathDescriptor(0x10, 0, 0), PathDescriptor(0x11, 0xC1, 2))


@pytest.mark.parametrize(
    ("text", "task"),
    [
        (f"CESTPATH DEVN(X'0F05') {BOXES} LINK(X'00100000' 0011C102) CGROUP(YES)",
         EstablishPaths(A, B, 0x05, links=LINKS, consistency_group=True)),
        (f"cdelpath devn(0) {BOXES}", DeletePaths(A, B, 0)),
        (f"CESTPAIR DEVN(05) {PAIR}", EstablishPair(A, B, 5, 0x15)),
        (f"CESTPAIR DEVN(5),{PAIR},MODE(RESYNC),OPTION(XD),PACE(255) CRIT(YES) CASCADE(NO)",
         EstablishPair(A, B, 5, 0x15, Mode.RESYNC, 1, Action.NONE, 255, int(PairFlag.CRITICAL))),
        (f"CESTPAIR MSGREQ(YES) {PAIR} DEVN(05) MODE(NOCOPY)",
         EstablishPair(A, B, 5, 0x15, Mode.NOCOPY, flags=int(PairFlag.MESSAGE_REQUIRED), wait=True)),
        (f"CESTPAIR DEVN(05) {PAIR} ACTION(FAILOVER) FORCE(YES)",
         EstablishPair(A, B, 5, 0x15, action=Action.FAILOVER, flags=int(PairFlag.FORCE))),
        (f"CDELPAIR DEVN(05) {PAIR}", DeletePair(A, B, 5, 0x15)),
        (f"CSUSPEND DEVN(15) {PAIR} QUIESCE", SuspendPair(A, B, 5, 0x15, flags=int(SuspendFlag.QUIESCE))),
        (f"CRECOVER DEVN(15) {PAIR} ID(OLD001 NEW001)", RecoverPair(A, B, 5, 0x15, "OLD001", "NEW001")),
        (f"CGROUP DEVN(0) {BOXES} FREEZE", Freeze(A, B, 0)),
        (f"CGROUP DEVN(0) {BOXES} RUN", Run(A, B, 0)),
        ("CQUERY DEVN(X'0005') PATHS UNFORMAT NOBITMAP", Query(5, "PATHS", False, False)),
        ("mkpprcpath -remotedev 0200:00:000000067890 -consistgrp --seconds=60 I0010:I0020 11",
         EstablishPaths(ANY, B, links=(LINKS[0], PathDescriptor(0x11, 0, 0)), consistency_group=True, seconds=60)),
        ("mkpprcpath -remotedev IBM.2107-75FA120 -srclss 01 -tgtlss 2 -tgtss 0200 0010:0020",
         EstablishPaths(Naming(None, 1, None), Naming(0x0200, 2, "75FA120"), links=LINKS[:1])),
        ("rmpprcpath -remotedev 0200:00:000000067890", DeletePaths(ANY, B)),
        ("mkpprc -type gcp -mode nocp -critmode -tgtonline -pace 3 -wait 05:15",
         EstablishPair(ANY, ANY, 5, 0x15, Mode.NOCOPY, 1, Action.NONE, 3,
                       int(PairFlag.CRITICAL | PairFlag.ONLINE_SECONDARY), True)),
        ("resumepprc 0105:0215",
         EstablishPair(Naming(lss=1), Naming(lss=2), 5, 0x15, Mode.RESYNC)),
        ("failoverpprc --cascade 15:05", EstablishPair(ANY, ANY, 0x15, 5, action=Action.FAILOVER,
                                                       flags=int(PairFlag.CASCADE))),
        ("failbackpprc -wait 15:05", EstablishPair(ANY, ANY, 0x15, 5, action=Action.FAILBACK, wait=True)),
        ("rmpprc -unconditional -quiet 05:15", DeletePair(ANY, ANY, 5, 0x15, True)),
        ("rmpprc -at tgt 05:15", RecoverPair(ANY, ANY, 5, 0x15)),
        ("pausepprc -at src 05:15", SuspendPair(ANY, ANY, 5, 0x15, False)),
        ("freezepprc -seconds 9 00:02", Freeze(Naming(lss=0), Naming(lss=2), None, 9)),
        ("unfreezepprc", Run(ANY, ANY)),
        ("lspprc -l -check -state suspended 0105:15 06",
         ShowPairs(Naming(lss=1), ANY, ((5, OtherVolume(None, 0x15)), (6, None)), frozenset({"suspended"}), True,
                   True)),
        ("lspprc -dev 12345 -srcss 100 -remotedev 67890 -tgtss 200 05:0215",
         ShowPairs(Naming(0x0100, None, "12345"), Naming(0x0200, None, "67890"), ((5, OtherVolume(2, 0x15)),))),
        ("mkbridgevol -role secondary-status -number 8 F1", DefineBridge(ANY, 0xF1, 4, 8)),
        ("mkbridgevol -role undefine 01F1", DefineBridge(Naming(lss=1), 0xF1, 0, 1)),
        ("rmbridge -unconditional -number 2 F0:E0", DeleteBridge(ANY, ANY, 0xF0, 0xE0, 2, True)),
        ("mkbridge -number 2 F0:E0", EstablishBridge(ANY, ANY, 0xF0, 0xE0, 2)),
    ],
)  # fmt: skip
def test_what_a_word_asks_for(text: str, task: Task) -> None:
    assert parse_word(text) == [task]


def test_several_pairs_are_several_tasks() -> None:
    tasks = parse_word("mkpprc 05:15 06:16 07:17")
    assert [(task.device, task.other) for task in tasks if isinstance(task, EstablishPair)] == [
        (5, 0x15), (6, 0x16), (7, 0x17)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "at", "words"),
    [
        ("mkpprc", 7, "SOURCE:TARGET ... is needed"),
        ("mkpprc 05", 8, "is not SOURCE:TARGET"),
        ("mkpprc 05:5", 11, "is not a volume"),
        ("mkpprc -modus full 05:15", 8, "no option -modus (known: -dev"),
        ("mkpprc -mode fast 05:15", 14, "'fast' is not one of full, nocp"),
        ("mkpprc -mode=fast 05:15", 14, "'fast' is not one of full, nocp"),
        ("mkpprc -wait=yes 05:15", 8, "-wait takes no value"),
        ("mkpprc 05:15 -mode", 14, "-mode needs full|nocp"),
        ("mkpprc -wait -wait 05:15", 14, "-wait is given twice"),
        ("mkpprc -pace 0 05:15", 14, "from 1 to 255"),
        ("mkpprc -pace 256 05:15", 14, "from 1 to 255"),
        ("mkbridge -number 9 F0:F0", 18, "'9' is not a number from 1 to 8"),
        ("mkpprc -dev 0100:00:000000012345 -srcss 0101 05:15", 1, "the source has two SSIDs"),
        ("mkpprc -dev 0100:00 05:15", 13, "is not SSID:LSS:SERIAL"),
        ("mkpprc -dev lower 05:15", 13, "is not a serial number"),
        ("lspprc 0105 0205", 1, "several logical subsystems"),
        ("lspprcpath 05", 12, "options only"),
        ("mkpprcpath 10:2G", 15, "'2G' is not a port"),
        ("rmbridge F0:F0 F2:F2", 1, "one pair of data bridge volumes"),
        ("mkbridge F0:F0 F2:F2", 1, "one pair of data bridge volumes"),
        ("mkbridgevol F0", 15, "-role ROLE is needed"),
        (f"CESTPAIR {PAIR}", 65, "DEVN(devn) is needed"),
        (f"CESTPAIR DEVN(06) {PAIR}", 1, "DEVN(06) is not the volume 05"),
        (f"CESTPAIR DEVN(05) {PAIR} MODE(INCRES)", "INCRES", "not one of COPY, NOCOPY, RESYNC"),
        (f"CESTPAIR DEVN(05) {PAIR} MODE", "MODE", "MODE(COPY|NOCOPY|RESYNC) is expected"),
        (f"CESTPAIR DEVN(05) {PAIR} MODE()", "MODE", "one value is needed"),
        (f"CESTPAIR DEVN(05) {PAIR} MODE(COPY", "MODE", "a keyword, or KEYWORD(value), is expected here"),
        ("CESTPAIR DEVN(05) PRIM(0100 12345)", 24, "ssid serial cca [lss] are needed"),
        ("CESTPAIR DEVN(05) DEVN(05)", 19, "DEVN is given twice"),
        ("CESTPAIR DEVN(05) CRIT(MAYBE)", 24, "not one of NO, YES"),
        ("CESTPAIR 05", 10, "a keyword"),
        (f"CSUSPEND DEVN(06) {PAIR}", 1, "neither volume"),
        (f"CSUSPEND DEVN(05) {PAIR} PRIMARY QUIESCE", 1, "do not go together"),
        (f"CESTPATH DEVN(0) {BOXES} LINK(0010000)", "0010000)", "is not a link address"),
        (f"CESTPATH DEVN(0) {BOXES} LINK(1111 2222 3333 4444 5555 6666 7777 8888 9999)", "9999", "one to eight"),
        (f"CGROUP DEVN(0) {BOXES}", 1, "one of FREEZE and RUN"),
        (f"CGROUP DEVN(0) {BOXES} FREEZE(YES)", "FREEZE", "FREEZE without a value is expected"),
        ("CQUERY DEVN(05) PATHS VOLUME", 1, "only one of VOLUME, PATHS, LINKINFO"),
        ("CQUERY DEVN(XYZ)", 13, "hexadecimal"),
        (f"CRECOVER DEVN(15) {PAIR} ID(toolong)", "toolong", "volume serial"),
        ("nothing 05:15", 1, "no such command: 'nothing'"),
    ],
)
def test_mistakes_have_a_place(text: str, at: int | str, words: str) -> None:
    """`at`: the column, or the piece of the text that begins there."""
    column = at if isinstance(at, int) else text.index(at) + 1
    with pytest.raises(ProgramError) as caught:
        parse_word(text)
    assert words in caught.value.message and "\n" not in caught.value.message
    assert caught.value.column == column


@pytest.mark.parametrize("word", WORDS.values(), ids=lambda word: word.name)
def test_every_word_has_an_example_and_help(word: object) -> None:
    assert isinstance(word, type(WORDS["mkpprc"]))
    assert word.example.startswith(word.name) and parse_word(word.example)
    lines = help_of(word)
    assert any(word.summary in line for line in lines) and any(word.sends in line for line in lines)
    assert all(len(line) <= 80 for line in syntax_of(word, 80))
    for keyword in word.keywords:
        assert any(keyword.name in line and keyword.meaning in line for line in lines)
    assert help_lines(word.name) == lines == help_lines(word.name.lower())


def test_lines_of_a_script_and_of_the_prompt() -> None:
    """TSO commands in any case, and going on in the next line."""
    text = f"device 05\nCESTPAIR DEVN(05) -\n  {PAIR} +\n  MODE(COPY)\nseek 0,0; tic -1\nlspprc # x\ncquery devn(5)\n"
    lines = parse_lines(text, "a.host")
    assert [(line.number, line.word) for line in lines] == [
        (1, "device"), (2, "cestpair"), (5, "seek"), (6, "lspprc"), (7, "cquery"),
    ]  # fmt: skip
    assert parse_word(lines[1].text) == [EstablishPair(A, B, 5, 0x15)]
    with pytest.raises(ScriptError) as caught:
        parse_line("  mkpprc 05", 7, "a.host")
    assert str(caught.value).startswith("a.host:7:10: ")
    with pytest.raises(ScriptError):
        parse_lines("CQUERY -\n", "a.host")  # goes on, and there is nothing
