"""The words as DSCLI spells them: mkpprcpath, mkpprc, lspprc and their like; and bridges, in the same manner.

    mkpprcpath -remotedev 0200:00:000000067890 -consistgrp 0010:0020 0011:0021
    mkpprc -type mmir -wait 05:15 06:16

A volume is its LSS and unit address, 0005, or the unit address alone. Storage systems are named by serial number
(-dev, -remotedev; a maker and type in front of a hyphen are passed over), LSS and SSID (-srcss, -tgtss), or by all of
it as SSID:LSS:SERIAL. What is left out is found: the source is the system that is asked, the target the one of the
pair, or the only one there are paths to. Options may have two hyphens.
Source: IBM System Storage DSCLI (options); pprc-commands 2.11; the bridge words are this project's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ccw.pprc_flags import PairFlag
from host_emulator.parameters import ProgramError, Word
from host_emulator.words.dscli_values import lss_pair, pair, pair_or_volume, port_pair, system, volume
from host_emulator.words.tasks import (
    ANY,
    EXTENDED_DISTANCE,
    SYNCHRONOUS,
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
    RecoverPair,
    Run,
    ShowBridges,
    ShowPairs,
    ShowPaths,
    SuspendPair,
    Task,
)
from host_emulator.words.vocabulary import (
    Given,
    Keyword,
    Operands,
    OperatorWord,
    choice,
    decimal,
    digits,
    one,
    switch,
)

SOURCE, TARGET = "source", "target"
STATES = (
    "copy-pending",
    "full-duplex",
    "suspended",
    "target-copy-pending",
    "target-full-duplex",
    "target-suspended",
    "not-remote-copy-pair",
)
_ROLES = {"undefine": 0, "primary-data": 1, "secondary-data": 2, "primary-status": 3, "secondary-status": 4}


_DEV = Keyword("dev", "SYSTEM", "the source system; otherwise the one that is asked", one(system), ANY)
_REMOTE = Keyword("remotedev", "SYSTEM", "the target system; otherwise the one of the pair or paths", one(system),
                  Naming())  # fmt: skip
_SS = (
    Keyword("srcss", "SSID", "subsystem identifier of the source", one(digits(4))),
    Keyword("tgtss", "SSID", "subsystem identifier of the target", one(digits(4))),
)
_LSS = (
    Keyword("srclss", "LSS", "logical subsystem of the source", one(digits(2))),
    Keyword("tgtlss", "LSS", "logical subsystem of the target", one(digits(2))),
)
_BETWEEN = (_DEV, _REMOTE, *_SS)
NAMING = (*_BETWEEN, *_LSS)  # options that say which systems are meant
_TYPE = Keyword("type", "mmir|gcp", "synchronous, or extended distance",
                choice(mmir=SYNCHRONOUS, gcp=EXTENDED_DISTANCE), SYNCHRONOUS)  # fmt: skip
_PAIRS = Operands("SOURCE:TARGET ...", "the pairs", pair)
_LSS_PAIRS = Operands("SOURCE_LSS:TARGET_LSS ...", "the logical subsystems; otherwise those of the paths", lss_pair,
                      needed=False)  # fmt: skip


def _switch(name: str, meaning: str) -> Keyword:
    return Keyword(name, "", meaning, switch, False)


_WAIT = _switch("wait", "until the copy is complete")
_CASCADE = _switch("cascade", "the source may be a target itself")
_ONLINE = _switch("tgtonline", "the target may be online to a host")
_RESERVE = _switch("resetreserve", "the target may be reserved by a host")


def _naming(given: Given, which: str, lss: int | None) -> Naming:
    """What was said of one system, put together. Raises ProgramError when it disagrees."""
    said: Naming = given["dev" if which == SOURCE else "remotedev"]
    ssid = given["srcss" if which == SOURCE else "tgtss"]
    for old, new, what in ((said.ssid, ssid, "SSID"), (said.lss, lss, "LSS")):
        if None not in (old, new) and old != new:
            raise ProgramError(1, f"the {which} has two {what}s: {old:02X} and {new:02X}")
    return Naming(said.ssid if ssid is None else ssid, said.lss if lss is None else lss, said.serial)


def _between(given: Given) -> tuple[Naming, Naming]:
    """By -srclss and -tgtlss, where the word has them."""
    return _naming(given, SOURCE, given.get("srclss")), _naming(given, TARGET, given.get("tgtlss"))


def _each(given: Given) -> list[tuple[Naming, Naming, int, int]]:
    """Names and unit addresses of each pair."""
    return [
        (_naming(given, SOURCE, source[0]), _naming(given, TARGET, target[0]), source[1], target[1])
        for source, target in given["operands"]
    ]


def _flags(given: Given, **flags: PairFlag) -> int:
    return sum(int(flag) for name, flag in flags.items() if given.get(name))


def _establish(given: Given, mode: Mode, action: Action = Action.NONE) -> list[Task]:
    flags = _flags(
        given,
        critmode=PairFlag.CRITICAL,
        tgtonline=PairFlag.ONLINE_SECONDARY,
        cascade=PairFlag.CASCADE,
        resetreserve=PairFlag.RESET_RESERVE,
        force=PairFlag.FORCE,
    )
    option, pace, wait = given["type"], given.get("pace", 0), given.get("wait", False)
    return [EstablishPair(*names, mode, option, action, pace, flags, wait) for names in _each(given)]


def _remove(given: Given) -> list[Task]:
    if given["at"] == TARGET:
        return [RecoverPair(*names) for names in _each(given)]
    return [DeletePair(*names, given["unconditional"]) for names in _each(given)]


def _pause(given: Given) -> list[Task]:
    at_secondary = None if given["at"] is None else given["at"] == TARGET
    return [SuspendPair(*names, at_secondary) for names in _each(given)]


def _list_pairs(given: Given) -> list[Task]:
    volumes = given["operands"]
    source = {lss for (lss, _), _ in volumes if lss is not None}
    if len(source) > 1:
        raise ProgramError(1, "the volumes are in several logical subsystems; ask each")
    listed = tuple((device, None if other is None else OtherVolume(*other)) for (_, device), other in volumes)
    states = frozenset() if given["state"] is None else frozenset([given["state"]])
    own, other = _naming(given, SOURCE, next(iter(source), None)), _naming(given, TARGET, None)
    return [ShowPairs(own, other, listed, states, given["l"], given["check"])]


def _groups(kind: Callable[..., Freeze | Run], given: Given) -> list[Task]:
    between = [(_naming(given, SOURCE, source), _naming(given, TARGET, target)) for source, target in given["operands"]]
    more = {"seconds": given["seconds"]} if given.get("seconds") else {}
    return [kind(*names, **more) for names in between or [_between(given)]]


def _bridge(given: Given) -> tuple[Naming, Naming, int, int, int]:
    """Names, unit addresses and number of a bridge."""
    names = _each(given)
    if len(names) != 1:
        raise ProgramError(1, "a bridge is one pair of data bridge volumes")
    return *names[0], given["number"]


def _bridge_volumes(given: Given) -> list[Task]:
    return [DefineBridge(Naming(lss=lss), device, given["role"], given["number"]) for lss, device in given["operands"]]


_B = "0200:00:000000067890"
DSCLI_WORDS: tuple[OperatorWord, ...] = (
    OperatorWord(
        "mkpprcpath", "Make these the paths from one storage system to another.", "D0 Establish Path", "the source",
        "path",
        (
            *_BETWEEN, *_LSS,
            _switch("consistgrp", "hosts wait when a pair fails, so that all can be frozen"),
            Keyword("seconds", "SECONDS", "how long they wait at most; 0: 120", decimal(0, 600), 0),
        ),
        lambda given: [EstablishPaths(*_between(given), links=tuple(given["operands"]),
                                      consistency_group=given["consistgrp"], seconds=given["seconds"])],
        Operands("PORT[:PORT] ...", "our ports; those of the other system need not be said", port_pair),
        f"mkpprcpath -remotedev {_B} 0010:0020 0011:0021",
    ),
    OperatorWord(
        "rmpprcpath", "Delete all paths from one storage system to another.", "D1 Delete Path", "the source", "path",
        (*_BETWEEN, *_LSS), lambda given: [DeletePaths(*_between(given))], example=f"rmpprcpath -remotedev {_B}",
    ),
    OperatorWord(
        "lspprcpath", "List the paths of a storage system.", "a PPRC query, scope 01", "the source", "path",
        (_DEV, _REMOTE), lambda given: [ShowPaths(given["dev"], given["remotedev"])], example="lspprcpath",
    ),
    OperatorWord(
        "mkpprc", "Establish pairs.", "D2 Establish Pair", "the source", "pair",
        (
            *_BETWEEN, _TYPE,
            Keyword("mode", "full|nocp", "copy everything, or nothing", choice(full=Mode.COPY, nocp=Mode.NOCOPY),
                    Mode.COPY),
            Keyword("pace", "1-255", "tracks copied before host work is let in; 15 where it is left out",
                    decimal(1, 255), 0),
            _switch("critmode", "refuse writes that cannot be mirrored"),
            _ONLINE, _CASCADE, _RESERVE, _WAIT,
        ),
        lambda given: _establish(given, given["mode"]), _PAIRS, "mkpprc -type mmir -wait 05:15",
    ),
    OperatorWord(
        "rmpprc", "End pairs: both volumes are simplex.",
        "D3 Delete Pair; with -at tgt D5 Recover Pair", "the source; with -at tgt the target", "pair",
        (
            *_BETWEEN,
            _switch("unconditional", "whether or not the other system answers"),
            Keyword("at", "src|tgt", "where", choice(src=SOURCE, tgt=TARGET), SOURCE),
            _switch("quiet", "accepted: nothing is ever asked back"),
        ),
        _remove, _PAIRS, "rmpprc 05:15",
    ),
    OperatorWord(
        "lspprc", "List pairs, and say why one is not duplex.", "PPRC queries, scopes 02, 03 and 01", "either system",
        "pair",
        (
            *_BETWEEN,
            Keyword("state", "STATE", f"only these: {', '.join(STATES)}",
                    choice(**{name.replace("-", "_"): name for name in STATES})),
            _switch("l", "more columns"),
            _switch("check", "exit status 1 unless all of them are duplex"),
        ),
        _list_pairs,
        Operands("SOURCE:TARGET ...", "these, first the volume of the system that is asked; otherwise all pairs",
                 pair_or_volume, needed=False),
        "lspprc -l",
    ),
    OperatorWord(
        "pausepprc", "Suspend pairs; what changes from then on is recorded.", "D4 Suspend Pair",
        "the source; with -at tgt the target", "pair",
        (
            *_BETWEEN,
            Keyword("at", "src|tgt", "which side suspends; otherwise the one that is asked",
                    choice(src=SOURCE, tgt=TARGET)),
        ),
        _pause, _PAIRS, "pausepprc 05:15",
    ),
    OperatorWord(
        "resumepprc", "Resynchronise suspended pairs: copy what changed.", "D2 Establish Pair, RESYNC", "the source",
        "pair", (*_BETWEEN, _TYPE, _ONLINE, _CASCADE, _RESERVE, _WAIT),
        lambda given: _establish(given, Mode.RESYNC), _PAIRS, "resumepprc -type mmir -wait 05:15",
    ),
    OperatorWord(
        "failoverpprc", "Let a secondary take over: a suspended primary that hosts may use.",
        "D2 Establish Pair, FAILOVER", "what has been the target, which is named as source", "pair",
        (*_BETWEEN, _TYPE, _ONLINE, _CASCADE, _RESERVE, _switch("force", "without looking at the other side")),
        lambda given: _establish(given, Mode.COPY, Action.FAILOVER), _PAIRS, "failoverpprc 15:05",
    ),
    OperatorWord(
        "failbackpprc", "Copy what changed on either side back from where hosts work now.",
        "D2 Establish Pair, FAILBACK", "the source, where hosts work now", "pair",
        (*_BETWEEN, _TYPE, _ONLINE, _CASCADE, _RESERVE, _switch("force", "without looking at the other side"), _WAIT),
        lambda given: _establish(given, Mode.COPY, Action.FAILBACK), _PAIRS, "failbackpprc -wait 15:05",
    ),
    OperatorWord(
        "freezepprc", "Suspend all pairs between two systems at one point in time.", "D6 Consistency Group, FREEZE",
        "the source", "path",
        (*_BETWEEN, Keyword("seconds", "SECONDS", "how long hosts wait at most; otherwise as the paths were made",
                            decimal(1, 600), 0)),
        lambda given: _groups(Freeze, given), _LSS_PAIRS, "freezepprc 00:00",
    ),
    OperatorWord(
        "unfreezepprc", "Let hosts go on after a freeze; the pairs stay suspended.", "D6 Consistency Group, RUN",
        "the source", "path", _BETWEEN, lambda given: _groups(Run, given), _LSS_PAIRS, "unfreezepprc 00:00",
    ),
    OperatorWord(
        "mkbridgevol", "Give volumes their role in a bridge.", "D8 Define Bridge Volume", "the volume's system",
        "path",
        (
            Keyword("role", "ROLE", ", ".join(_ROLES),
                    choice(**{name.replace("-", "_"): value for name, value in _ROLES.items()}), needed=True),
            Keyword("number", "1-8", "of the bridge", decimal(1, 8), 1),
        ),
        _bridge_volumes, Operands("VOLUME ...", "the volumes", volume), "mkbridgevol -role primary-data F0",
    ),
    OperatorWord(
        "mkbridge", "Set a bridge up between volumes that have their roles.", "D2 Establish Pair, data bridge",
        "the source", "path", (*_BETWEEN, Keyword("number", "1-8", "of the bridge", decimal(1, 8), 1)),
        lambda given: [EstablishBridge(*_bridge(given))],
        Operands("SOURCE:TARGET", "the data bridge volumes", pair), "mkbridge F0:F0",
    ),
    OperatorWord(
        "rmbridge", "Take a bridge down; its volumes keep their roles.", "D3 Delete Pair", "the source", "path",
        (*_BETWEEN, Keyword("number", "1-8", "of the bridge", decimal(1, 8), 1),
         _switch("unconditional", "also while pairs need it: they are suspended, or wait for another")),
        lambda given: [DeleteBridge(*_bridge(given), given["unconditional"])],
        Operands("SOURCE:TARGET", "the data bridge volumes", pair), "rmbridge F0:F0",
    ),
    OperatorWord(
        "lsbridge", "List the bridges, and the pairs that wait for one.", "a PPRC query, scope 03", "the source",
        "path", (), lambda given: [ShowBridges()], example="lsbridge",
    ),
)  # fmt: skip


def parse_dscli(word: OperatorWord, words: list[Word]) -> list[Task]:
    """The tasks of a word. `words`: its name and what stands behind it. Raises ProgramError with the column."""
    known = {keyword.name: keyword for keyword in word.keywords}
    given: dict[str, Any] = {}
    operands: list[Any] = []
    name = words.pop(0)
    end = name.column + len(name.text)
    while words:
        first = words.pop(0)
        end = first.column + len(first.text)
        if not first.text.startswith("-"):
            operands.append(_operand(word, first))
            continue
        dashes, equals, value = first.text.partition("=")
        option = dashes.lstrip("-").lower()
        if equals:
            words.insert(0, Word(first.column + len(dashes) + 1, value))
        if option not in known:
            options = ", ".join(f"-{known_name}" for known_name in known)
            raise ProgramError(first.column, f"no option -{option} (known: {options or 'none'})")
        if option in given:
            raise ProgramError(first.column, f"-{option} is given twice")
        if equals and not known[option].form:
            raise ProgramError(first.column, f"-{option} takes no value")
        given[option] = known[option].read(_taken(known[option], first, words))
    _check_needed(word, given, operands, end)
    defaults: Mapping[str, Any] = {keyword.name: keyword.default for keyword in word.keywords}
    return word.build({**defaults, **given, "operands": operands})


def _operand(word: OperatorWord, operand: Word) -> Any:
    if word.operands is None:
        raise ProgramError(operand.column, f"options only, not {operand.text!r}")
    return word.operands.read(operand)


def _taken(keyword: Keyword, name: Word, words: list[Word]) -> list[Word]:
    """The value of an option, taken from the words behind it."""
    if not keyword.form:
        return []
    if not words:
        raise ProgramError(name.column, f"-{keyword.name} needs {keyword.form}")
    return [words.pop(0)]


def _check_needed(word: OperatorWord, given: Mapping[str, Any], operands: list[Any], end: int) -> None:
    for keyword in word.keywords:
        if keyword.needed and keyword.name not in given:
            raise ProgramError(end, f"-{keyword.name} {keyword.form} is needed")
    if word.operands is not None and word.operands.needed and not operands:
        raise ProgramError(end, f"{word.operands.form} is needed")
