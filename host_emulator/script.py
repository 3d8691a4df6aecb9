"""A host session as a text: one command a line, `#` begins a comment.

    establish-path device=F0 primary=0100:00:000000012345 secondary=0200:00:000000067890 links=0010,0011 cgroup=yes
    define-bridge  device=F0 system=0100:00:000000012345 role=primary-data number=1
    establish-pair device=05 secondary-device=15 primary=... secondary=... mode=copy
    query pair device=05
    wait-duplex device=05 timeout=60

A script is parsed as a whole before anything is sent. An error of the text is a ScriptError: file, line and column,
both counted from 1. Numbers are hexadecimal where people write them so (devices, ports, SSID, LSS), else decimal.
`HELP` lists every command with its options; it is made from the table that the parser uses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from host_emulator.orders import System

LONGEST_DATA = 0xFFFF


class ScriptError(ValueError):
    """What is wrong with a script, and where. The text is one line: file:line:column: message."""

    def __init__(self, file: str, line: int, column: int, message: str) -> None:
        super().__init__(f"{file}:{line}:{column}: {message}")
        self.file, self.line, self.column, self.message = file, line, column, message


class Step(NamedTuple):
    """One command of a script, options decoded; those not given have their default."""

    line: int
    verb: str
    options: Mapping[str, Any]


class _BadValue(ValueError):
    """A value that does not fit its option; becomes a ScriptError with the place."""


@dataclass(frozen=True, slots=True)
class Option:
    """How an option is read. `default` None: the option must be given."""

    read: Callable[[str], Any]
    form: str  # as HELP shows it
    default: Any = None
    optional: bool = False


def _hex(digits: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(f"[0-9A-Fa-f]{{1,{digits}}}", text):
            raise _BadValue(f"{text!r} is not a hexadecimal number of 1 to {digits} digits")
        return int(text, 16)

    return read


def _decimal(first: int, last: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch("[0-9]{1,9}", text) or not first <= int(text) <= last:
            raise _BadValue(f"{text!r} is not a number from {first} to {last}")
        return int(text)

    return read


def _seconds(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,3})?", text):
        raise _BadValue(f"{text!r} is not a number of seconds")
    return float(text)


def _choice(**values: Any) -> Callable[[str], Any]:
    names = {name.replace("_", "-"): value for name, value in values.items()}

    def read(text: str) -> Any:
        if text not in names:
            raise _BadValue(f"{text!r} is not one of {', '.join(names)}")
        return names[text]

    return read


def _system(text: str) -> System:
    system = System.of_text(text)
    if system is None:
        raise _BadValue(f"{text!r} is not SSID:LSS:SERIAL (4 and 2 hexadecimal digits, 1 to 12 of 0-9 A-Z)")
    return system


def _ports(text: str) -> tuple[int, ...]:
    return tuple(_hex(4)(port) for port in text.split(","))


def _data(text: str) -> bytes:
    if len(text) > 2 * LONGEST_DATA:
        raise _BadValue(f"{len(text) // 2} bytes are more than a CCW moves ({LONGEST_DATA})")
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise _BadValue(f"{text!r} is not an even number of hexadecimal digits") from None


def _bridge(text: str) -> tuple[int, int]:
    match = re.fullmatch("(data|status):([1-8])", text)
    if not match:
        raise _BadValue(f"{text!r} is not data:N or status:N with N from 1 to 8")
    return (1 if match[1] == "data" else 2), int(match[2])


def _serial(text: str) -> str:
    if not re.fullmatch("[A-Z0-9@#$-]{1,6}", text):
        raise _BadValue(f"{text!r} is not a volume serial of 1 to 6 characters")
    return text


_YES_NO = Option(_choice(yes=True, no=False), "yes|no", default=False, optional=True)
_DEVICE = Option(_hex(2), "HH")
_SYSTEM = Option(_system, "SSID:LSS:SERIAL")
_TRACK = {
    "device": _DEVICE,
    "cylinder": Option(_decimal(0, (1 << 28) - 1), "N"),
    "head": Option(_decimal(0, 15), "N"),
}
_RECORD = {**_TRACK, "record": Option(_decimal(0, 255), "N")}
_PAIR = {"device": _DEVICE, "secondary-device": _DEVICE, "primary": _SYSTEM, "secondary": _SYSTEM}
_ROLES = _choice(undefine=0, primary_data=1, secondary_data=2, primary_status=3, secondary_status=4)

VERBS: dict[str, dict[str, Option]] = {
    "establish-path": {
        "device": _DEVICE,
        "primary": _SYSTEM,
        "secondary": _SYSTEM,
        "links": Option(_ports, "HHHH,HHHH..."),
        "cgroup": _YES_NO,
    },
    "delete-path": {"device": _DEVICE, "primary": _SYSTEM, "secondary": _SYSTEM},
    "define-bridge": {
        "device": _DEVICE,
        "system": _SYSTEM,
        "role": Option(_ROLES, "undefine|primary-data|secondary-data|primary-status|secondary-status"),
        "number": Option(_decimal(1, 8), "N"),
    },
    "establish-pair": {
        **_PAIR,
        "mode": Option(_choice(copy=0, nocopy=1, resync=2), "copy|nocopy|resync", 0, True),
        "bridge": Option(_bridge, "data:N|status:N", (0, 0), True),
        "pace": Option(_decimal(1, 255), "N", 15, True),
        "crit": _YES_NO,
        "msgreq": _YES_NO,
        "onlinsec": _YES_NO,
    },
    "suspend": dict(_PAIR),
    "recover": {
        "device": _DEVICE,
        "primary": _SYSTEM,
        "secondary": _SYSTEM,
        "primary-device": _DEVICE,
        "old-serial": Option(_serial, "SERIAL", None, True),
        "new-serial": Option(_serial, "SERIAL", None, True),
    },
    "freeze": {
        "device": _DEVICE,
        "primary": _SYSTEM,
        "secondary": _SYSTEM,
        "seconds": Option(_decimal(0, 600), "N", 0, True),
    },
    "run": {"device": _DEVICE, "primary": _SYSTEM, "secondary": _SYSTEM},
    "delete-pair": {**_PAIR, "unconditional": _YES_NO},
    "query pair": {"device": _DEVICE},
    "query paths": {"device": _DEVICE},
    "query queue": {"device": _DEVICE},
    "wait-duplex": {"device": _DEVICE, "timeout": Option(_seconds, "SECONDS", 60.0, True)},
    "read-record": dict(_RECORD),
    "write-record": {**_RECORD, "data": Option(_data, "HEX")},
    "read-track": dict(_TRACK),
    "format": {
        **_TRACK,
        "records": Option(_decimal(1, 255), "N"),
        "length": Option(_decimal(0, 57_326), "N"),
        "fill": Option(_hex(2), "HH", 0, True),
    },
    "sense": {"device": _DEVICE},
    "sense-id": {"device": _DEVICE},
    "read-characteristics": {"device": _DEVICE},
    "read-configuration": {"device": _DEVICE},
    "selective-reset": {"device": _DEVICE},
    "identify": {},
}


def verb_help(verb: str) -> str:
    """One line: a command with its options, those in brackets that may be left out. KeyError for no command."""
    options = [f"[{name}={o.form}]" if o.optional else f"{name}={o.form}" for name, o in VERBS[verb].items()]
    return " ".join([verb, *options])


HELP = "\n".join(map(verb_help, VERBS))


def parse_script(text: str, file: str = "script") -> list[Step]:
    """The commands of a script. Raises ScriptError for the first thing that is wrong."""
    steps = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = [(match.start() + 1, match[0]) for match in re.finditer(r"\S+", line.split("#", 1)[0])]
        if words:
            steps.append(_parse_line(file, number, words))
    return steps


def _parse_line(file: str, line: int, words: list[tuple[int, str]]) -> Step:
    column, verb = words.pop(0)
    if verb == "query":
        if not words or f"query {words[0][1]}" not in VERBS:
            at = words[0][0] if words else column + len(verb)
            raise ScriptError(file, line, at, "query what: pair, paths or queue")
        verb = f"query {words.pop(0)[1]}"
    if verb not in VERBS:
        raise ScriptError(file, line, column, f"no such command: {verb!r}")
    known = VERBS[verb]
    options: dict[str, Any] = {}
    end = column + len(verb)
    for at, word in words:
        name, equals, value = word.partition("=")
        end = at + len(word)
        if not equals:
            raise ScriptError(file, line, at, f"{word!r} is not option=value")
        if name not in known:
            raise ScriptError(file, line, at, f"{verb} has no option {name!r}")
        if name in options:
            raise ScriptError(file, line, at, f"option {name!r} is given twice")
        try:
            options[name] = known[name].read(value)
        except _BadValue as error:
            raise ScriptError(file, line, at + len(name) + 1, str(error)) from None
    for name, option in known.items():
        if name not in options and not option.optional:
            raise ScriptError(file, line, end, f"{verb} needs {name}={option.form}")
        options.setdefault(name, option.default)
    return Step(line, verb, options)
