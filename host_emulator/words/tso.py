"""The words as TSO spells them: CESTPATH, CESTPAIR, CQUERY and their like.

    CESTPAIR DEVN(X'0005') PRIM(X'0100' 000000012345 05) SEC(X'0200' 000000067890 15) MODE(COPY) CRIT(NO)

Keywords in any case and order, values in parentheses, blanks or commas between them, hexadecimal numbers with or
without X''. A storage system is SSID, serial number and, for pairs, CCA; the LSS may follow. Of a device number the
last two digits count: the control-unit image is that of the connection. A blank and a hyphen, or a plus sign, at the
end of a line say that the next line goes on (console.py puts such lines together).
Source: z/OS DFSMS Advanced Copy Services (keywords); pprc-commands 2.2-2.6.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ccw.pprc_flags import PairFlag, SuspendFlag
from host_emulator.parameters import ProgramError, Word
from host_emulator.words.tasks import (
    EXTENDED_DISTANCE,
    SYNCHRONOUS,
    Action,
    DeletePair,
    DeletePaths,
    EstablishPair,
    EstablishPaths,
    Freeze,
    Mode,
    Naming,
    Query,
    RecoverPair,
    Run,
    SuspendPair,
    Task,
)
from host_emulator.words.vocabulary import (
    Given,
    Keyword,
    OperatorWord,
    choice,
    decimal,
    digits,
    link,
    one,
    serial,
    switch,
    volume_serial,
)

_YES_NO = choice(NO=False, YES=True)
_SYSTEM = "ssid serial [lss]"
_VOLUME = "ssid serial cca [lss]"


def _system(words: Sequence[Word]) -> Naming:
    """SSID, serial number, LSS; the LSS is 00 where it is left out."""
    if len(words) not in (2, 3):
        raise ProgramError(words[0].column if words else 1, f"{_SYSTEM} are needed")
    lss = digits(2)(words[2]) if len(words) == 3 else 0
    return Naming(digits(4)(words[0]), lss, serial(words[1]))


def _volume(words: Sequence[Word]) -> tuple[Naming, int]:
    """The system, and the CCA of a volume of it."""
    if len(words) not in (3, 4):
        raise ProgramError(words[0].column if words else 1, f"{_VOLUME} are needed")
    return _system([*words[:2], *words[3:]]), digits(2)(words[2])


def _links(words: Sequence[Word]) -> tuple[Any, ...]:
    if not 1 <= len(words) <= 8:
        raise ProgramError(words[8].column if words else 1, "one to eight link addresses are needed")
    return tuple(link(word) for word in words)


def _serials(words: Sequence[Word]) -> tuple[str, ...]:
    if not 1 <= len(words) <= 2:
        raise ProgramError(words[2].column if words else 1, "the volume serial, and perhaps the new one, are needed")
    return tuple(volume_serial(word) for word in words)


def _devn(word: Word) -> int:
    return digits(4)(word) & 0xFF


DEVN = Keyword("DEVN", "devn", "the device that the order is sent to", one(_devn), needed=True)
_BOXES = (
    DEVN,
    Keyword("PRIM", _SYSTEM, "the primary system", _system, needed=True),
    Keyword("SEC", _SYSTEM, "the secondary system", _system, needed=True),
)
_PAIR = (
    DEVN,
    Keyword("PRIM", _VOLUME, "the primary volume", _volume, needed=True),
    Keyword("SEC", _VOLUME, "the secondary volume", _volume, needed=True),
)


def _between(given: Given) -> tuple[Naming, Naming]:
    return given["PRIM"], given["SEC"]


def _pair(given: Given) -> tuple[Naming, Naming, int, int]:
    return given["PRIM"][0], given["SEC"][0], given["PRIM"][1], given["SEC"][1]


def _establish_path(given: Given) -> list[Task]:
    boxes, links, group, reset = _between(given), given["LINK"], given["CGROUP"], given["RESETHP"]
    return [EstablishPaths(*boxes, given["DEVN"], links=links, consistency_group=group, reset_host_path=reset)]


def _establish_pair(given: Given) -> list[Task]:
    flags = PairFlag(0)
    for name, flag in (
        ("CRIT", PairFlag.CRITICAL),
        ("MSGREQ", PairFlag.MESSAGE_REQUIRED),
        ("ONLINSEC", PairFlag.ONLINE_SECONDARY),
        ("CASCADE", PairFlag.CASCADE),
        ("RESETRSV", PairFlag.RESET_RESERVE),
        ("FORCE", PairFlag.FORCE),
    ):
        flags |= flag if given[name] else 0
    task = EstablishPair(
        *_pair(given), given["MODE"], given["OPTION"], given["ACTION"], given["PACE"], int(flags), given["MSGREQ"]
    )
    _same_device(given, task.device)
    return [task]


def _same_device(given: Given, device: int) -> None:
    """The order goes to DEVN; that it names another volume would only be refused."""
    if given["DEVN"] != device:
        raise ProgramError(1, f"DEVN({given['DEVN']:02X}) is not the volume {device:02X} that the order is for")


def _delete_pair(given: Given) -> list[Task]:
    task = DeletePair(*_pair(given))
    _same_device(given, task.device)
    return [task]


def _suspend(given: Given) -> list[Task]:
    if given["PRIMARY"] and given["QUIESCE"]:
        raise ProgramError(1, "PRIMARY and QUIESCE do not go together")
    flags = (SuspendFlag.PRIMARY if given["PRIMARY"] else 0) | (SuspendFlag.QUIESCE if given["QUIESCE"] else 0)
    task = SuspendPair(*_pair(given), flags=int(flags))
    if given["DEVN"] not in (task.device, task.other):
        raise ProgramError(1, f"DEVN({given['DEVN']:02X}) is neither volume of the pair")
    return [task]


def _recover(given: Given) -> list[Task]:
    serials = [*given["ID"], None, None]
    task = RecoverPair(*_pair(given), serials[0], serials[1])
    _same_device(given, task.other)
    return [task]


def _group(given: Given) -> list[Task]:
    if given["FREEZE"] == given["RUN"]:
        raise ProgramError(1, "one of FREEZE and RUN is needed")
    kind = Freeze if given["FREEZE"] else Run
    return [kind(*_between(given), given["DEVN"])]


def _query(given: Given) -> list[Task]:
    for words in (("VOLUME", "PATHS", "LINKINFO"), ("FORMAT", "UNFORMAT"), ("BITMAP", "NOBITMAP")):
        if sum(bool(given[word]) for word in words) > 1:
            raise ProgramError(1, f"only one of {', '.join(words)}")
    what = next((word for word in ("PATHS", "LINKINFO") if given[word]), "VOLUME")
    return [Query(given["DEVN"], what, not given["UNFORMAT"], not given["NOBITMAP"])]


def _switches(**meanings: str) -> tuple[Keyword, ...]:
    return tuple(Keyword(name, "", meaning, switch, False) for name, meaning in meanings.items())


_A, _B = "X'0100' 000000012345", "X'0200' 000000067890"
TSO_WORDS: tuple[OperatorWord, ...] = (
    OperatorWord(
        "CESTPATH", "Make these the paths from one storage system to another.", "D0 Establish Path",
        "the primary system", "path",
        (
            *_BOXES,
            Keyword("LINK", "linkaddr ...", "one to eight link addresses, SSSSLLCC or SSSS", _links, needed=True),
            Keyword("CGROUP", "NO|YES", "hosts wait when a pair fails, so that all can be frozen", _YES_NO, False),
            Keyword("RESETHP", "NO|YES", "reset host paths on the ports", _YES_NO, False),
        ),
        _establish_path,
        example=f"CESTPATH DEVN(X'0000') PRIM({_A}) SEC({_B}) LINK(X'00100000' X'00110000')",
    ),
    OperatorWord(
        "CDELPATH", "Delete all paths from one storage system to another.", "D1 Delete Path", "the primary system",
        "path", _BOXES, lambda given: [DeletePaths(*_between(given), given["DEVN"])],
        example=f"CDELPATH DEVN(X'0000') PRIM({_A}) SEC({_B})",
    ),
    OperatorWord(
        "CESTPAIR", "Establish a pair, resynchronise one, fail over or back.", "D2 Establish Pair",
        "the primary system; for FAILOVER the secondary, which is named as PRIM", "pair",
        (
            *_PAIR,
            Keyword("OPTION", "SYNC|XD", "synchronous, or extended distance",
                    choice(SYNC=SYNCHRONOUS, XD=EXTENDED_DISTANCE), SYNCHRONOUS),
            Keyword("MODE", "COPY|NOCOPY|RESYNC", "copy all, nothing, or what changed",
                    choice(COPY=Mode.COPY, NOCOPY=Mode.NOCOPY, RESYNC=Mode.RESYNC), Mode.COPY),
            Keyword("ACTION", "FAILOVER|FAILBACK", "let the secondary take over; copy back what changed",
                    choice(FAILOVER=Action.FAILOVER, FAILBACK=Action.FAILBACK), Action.NONE),
            Keyword("CRIT", "NO|YES", "refuse writes that cannot be mirrored", _YES_NO, False),
            Keyword("PACE", "1-255", "tracks copied before host work is let in; 15 where it is left out",
                    decimal(1, 255), 0),
            Keyword("MSGREQ", "NO|YES", "the order ends when the copy is complete", _YES_NO, False),
            Keyword("ONLINSEC", "NO|YES", "the secondary may be online to a host", _YES_NO, False),
            Keyword("CASCADE", "NO|YES", "the primary may be a secondary itself", _YES_NO, False),
            Keyword("RESETRSV", "NO|YES", "the secondary may be reserved by a host", _YES_NO, False),
            Keyword("FORCE", "NO|YES", "with ACTION: without looking at the other side", _YES_NO, False),
        ),
        _establish_pair,
        example=f"CESTPAIR DEVN(X'0005') PRIM({_A} 05) SEC({_B} 15) MODE(COPY)",
    ),
    OperatorWord(
        "CDELPAIR", "End a pair: both volumes are simplex.", "D3 Delete Pair", "the primary system", "pair",
        _PAIR, _delete_pair, example=f"CDELPAIR DEVN(X'0005') PRIM({_A} 05) SEC({_B} 15)",
    ),
    OperatorWord(
        "CSUSPEND", "Suspend a pair; what changes from then on is recorded.", "D4 Suspend Pair",
        "the primary system, or the secondary", "pair",
        (
            *_PAIR,
            *_switches(PRIMARY="writes to the primary are refused from then on",
                       QUIESCE="host work waits until the pair is suspended without it, or deleted"),
        ),
        _suspend,
        example=f"CSUSPEND DEVN(X'0005') PRIM({_A} 05) SEC({_B} 15)",
    ),
    OperatorWord(
        "CRECOVER", "Make a secondary simplex, so that hosts can use it.", "D5 Recover Pair", "the secondary system",
        "pair",
        (*_PAIR, Keyword("ID", "volser [newvolser]", "refused unless this is its volume serial; the new one", _serials,
                         ())),
        _recover,
        example=f"CRECOVER DEVN(X'0015') PRIM({_A} 05) SEC({_B} 15)",
    ),
    OperatorWord(
        "CGROUP", "Freeze all pairs between two systems, or let them run.", "D6 Consistency Group",
        "the primary system", "path",
        (*_BOXES, *_switches(FREEZE="suspend all pairs, remove the paths, hold the hosts off where they are grouped",
                             RUN="let the hosts go on")),
        _group,
        example=f"CGROUP DEVN(X'0000') PRIM({_A}) SEC({_B}) FREEZE",
    ),
    OperatorWord(
        "CQUERY", "Report a volume, or the paths of its storage system.", "a PPRC query, scope 02 or 01",
        "either system", "pair",
        (
            DEVN,
            *_switches(VOLUME="the volume's pair (default)", PATHS="the paths of its system",
                       LINKINFO="the ports that paths use", FORMAT="for people (default)",
                       UNFORMAT="values with commas between them", BITMAP="with percent copied (default)",
                       NOBITMAP="without"),
        ),
        _query,
        example="CQUERY DEVN(X'0005')",
    ),
)  # fmt: skip


def parse_tso(word: OperatorWord, text: str) -> list[Task]:
    """The tasks of a command. `text` is the whole of it; raises ProgramError with the column in it."""
    given: dict[str, Any] = {}
    known = {keyword.name: keyword for keyword in word.keywords}
    at = len(text) - len(text.lstrip()) + len(word.name)
    pattern = re.compile(r"[\s,]*([A-Za-z]+)(?:\s*\(([^()]*)\)?)?")
    while text[at:].strip(" \t,"):
        match = pattern.match(text, at)
        if match is None or (match[2] is not None and not match[0].endswith(")")):
            wrong = at + len(text[at:]) - len(text[at:].lstrip(" \t,"))
            raise ProgramError(wrong + 1, "a keyword, or KEYWORD(value), is expected here")
        name, column = match[1].upper(), match.start(1) + 1
        if name not in known:
            raise ProgramError(column, f"no keyword {name} (known: {', '.join(known)})")
        if name in given:
            raise ProgramError(column, f"{name} is given twice")
        given[name] = _value(known[name], match, column)
        at = match.end()
    for keyword in word.keywords:
        if keyword.needed and keyword.name not in given:
            raise ProgramError(len(text.rstrip()) + 1, f"{keyword.name}({keyword.form}) is needed")
        given.setdefault(keyword.name, keyword.default)
    return word.build(given)


def _value(keyword: Keyword, match: re.Match[str], column: int) -> Any:
    if (match[2] is None) != (not keyword.form):
        form = f"{keyword.name}({keyword.form})" if keyword.form else f"{keyword.name} without a value"
        raise ProgramError(column, f"{form} is expected")
    start = match.start(2)
    words = [Word(start + found.start() + 1, found[0]) for found in re.finditer(r"[^\s,]+", match[2] or "")]
    try:
        return keyword.read(words)
    except ProgramError as error:
        if error.column == 1:  # nothing stands there that could be pointed at
            raise ProgramError(column, f"{keyword.name}: {error.message}") from None
        raise
