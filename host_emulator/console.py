"""The lines a person types, or a script holds: programs, commands of a script, and what shows a volume.

    device 05                       the device of the lines that follow
    seek 1,2; side 1,2,3; tic -1; rd      a channel program; `help seek` says what one takes
    track 1,2                       the records of a track, hex and EBCDIC
    put 1,2,3 e'HELLO'              write the data of a record, filled up with zeros
    vtoc                            label and data sets of the volume
    record FOLDER / record off      keep what is run as a recording, where the owner of the console offers it
    help [WORD]                     this, a mnemonic, or a command
    quit

Every command of a script (script.py) is a line too; its device= may be left out. So is every operator's word (words/);
a TSO command goes on in the next line behind a hyphen or a plus sign. A line that is wrong is a ScriptError with its
column; a line that runs never raises for what the target does.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple

from ccw.errors import FormatError
from ccw.geometry import HEADS, Cchh
from ccw.tracks import Record
from host_emulator import orders
from host_emulator.channel import ChannelProgram, InterfaceControlCheck, ProgramResult
from host_emulator.mnemonics import MNEMONICS, mnemonic_help
from host_emulator.parameters import ProgramError, Word, Words, place, record_id
from host_emulator.program_text import build_program, no_such_command
from host_emulator.runner import Report, ending, run_step
from host_emulator.script import VERBS, ScriptError, parse_script, verb_help
from host_emulator.session import HostSession
from host_emulator.track_text import dump_lines, records_of, track_lines
from host_emulator.vtoc import contents_lines, label_of, vtoc_extent
from host_emulator.words import WORDS, help_of, parse_word, word_of
from host_emulator.words.desk import Desk
from host_emulator.words.outcome import exit_of
from host_emulator.words.wait import Patience, perform_all

WITHOUT_END = Patience()
OWN = ("device", "help", "put", "quit", "record", "track", "vtoc")
Keep = Callable[[int, str], Awaitable[str]]  # (unit address, folder or "off"): what `record` does


class Line(NamedTuple):
    """One line, judged: its first word and the text it was."""

    number: int
    word: str
    text: str
    file: str = "line"


def parse_lines(text: str, file: str) -> list[Line]:
    """The lines of a script that say something. Raises ScriptError for the first that is wrong."""
    lines = []
    has_device = False
    for number, raw in _logical_lines(text):
        line = parse_line(raw, number, file, has_device)
        if line is not None:
            lines.append(line)
            has_device = has_device or line.word == "device"
    return lines


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers; those of a TSO command that goes on are one, with the number of the first."""
    begun, so_far = 0, ""
    for number, raw in enumerate(text.splitlines(), 1):
        begun, so_far = (begun, f"{so_far} {raw}") if so_far else (number, raw)
        rest = goes_on(so_far)
        if rest is None:
            yield begun, so_far
        so_far = rest or ""
    if so_far:
        yield begun, so_far


def goes_on(text: str) -> str | None:
    """A TSO command that ends with a hyphen or a plus sign, without it: the next line goes on. None for all others."""
    word = word_of(text.split(maxsplit=1)[0].split("(")[0]) if text.strip() else None
    mark = re.fullmatch(r"(.*\s)[-+]\s*", text) if word is not None and word.tso else None
    return mark[1].rstrip() if mark else None


def parse_line(raw: str, number: int = 1, file: str = "line", has_device: bool = True) -> Line | None:
    """One line; None for an empty one. Raises ScriptError."""
    text = re.sub(r"(^|\s)#.*", "", raw)
    words = text.split()
    if not words:
        return None
    word = words[0].lower()
    try:
        if word in OWN:
            _check_own(word, text)
        elif word in WORDS:
            parse_word(text)
        elif word == "query" or word in VERBS:
            parse_script("\n" * (number - 1) + _with_device(text, 0 if has_device else None), file)
        elif word.split(";")[0] in MNEMONICS or re.fullmatch("x[0-9a-f]{2}", word.split(";")[0]):
            build_program(text)
            if not has_device:
                raise ProgramError(1, "which device? say `device HH` first")
        else:
            known = (*OWN, *WORDS, *VERBS, *MNEMONICS)
            raise ProgramError(len(text) - len(text.lstrip()) + 1, no_such_command(words[0], known))
    except ProgramError as error:
        raise ScriptError(file, number, error.column, error.message) from None
    return Line(number, word, text, file)


def _check_own(word: str, text: str) -> None:
    """Raises ProgramError."""
    start = text.index(text.split()[0])
    arguments = _words_of(text)[1:]
    end = start + len(word) + 1
    if word == "device":
        if len(arguments) != 1 or not re.fullmatch("[0-9A-Fa-f]{1,2}", arguments[0].text):
            raise ProgramError(end, "device HH: a unit address in hexadecimal")
    elif word == "track":
        if len(arguments) != 1:
            raise ProgramError(end, "track CYLINDER,HEAD")
        place(arguments[0])
    elif word == "put":
        _put(Words(end, arguments))
    elif word == "record" and len(arguments) != 1:
        raise ProgramError(end, "record FOLDER, or record off")


def _words_of(text: str) -> list[Word]:
    """The words of a line, blanks inside quotation marks included."""
    return [Word(match.start() + 1, match[0]) for match in re.finditer(r"(?:[^\s']|'[^']*'?)+", text)]


def _put(words: Words) -> tuple[bytes, bytes]:
    identifier = record_id(words.next("CYLINDER,HEAD,RECORD"))
    return identifier, words.data()


def _with_device(text: str, device: int | None) -> str:
    """The line with device= where its command wants one and has none."""
    words = text.split()
    verb = " ".join(words[:2]) if words[0] == "query" else words[0]
    given = any(word.startswith("device=") for word in words)
    if device is None or given or "device" not in VERBS.get(verb, {}):
        return text
    return f"{text.rstrip()} device={device:02X}"


class Console:
    """Runs lines in a session. `device` is the one of `device HH`; `patience` that with copies that words wait for."""

    def __init__(
        self,
        session: HostSession,
        device: int | None = None,
        keep: Keep | None = None,
        patience: Patience = WITHOUT_END,
    ) -> None:
        self.session = session
        self.device = device
        self._keep = keep
        self._patience = patience

    async def run(self, line: Line) -> Report:
        """Run one line; `lines` of the report are for people. Never raises for what the target does."""
        report: Report = {"line": line.number, "command": line.word, "ok": True}
        try:
            return await self._run(line, report)
        except (InterfaceControlCheck, FormatError, OSError) as error:
            return {**report, "ok": False, "problem": str(error).splitlines()[0]}

    async def _run(self, line: Line, report: Report) -> Report:
        arguments = line.text.split()[1:]
        if line.word == "device":
            self.device = int(arguments[0], 16)
            return report
        if line.word == "help":
            return {**report, "lines": help_lines(arguments[0] if arguments else "")}
        if line.word == "quit":
            return report
        if line.word in WORDS:
            return await self._word(line, report)
        if line.word == "query" or line.word in VERBS:
            (step,) = parse_script("\n" * (line.number - 1) + _with_device(line.text, self.device), line.file)
            return await run_step(self.session, step)
        if self.device is None:
            return {**report, "ok": False, "problem": "which device? say `device HH` first"}
        return await self._on_device(line, arguments, report)

    async def _word(self, line: Line, report: Report) -> Report:
        outcomes = await perform_all(Desk(self.session), parse_word(line.text), self._patience)
        status = exit_of(outcomes)
        said = [text for outcome in outcomes for text in outcome.said()]
        results = [outcome.plain() for outcome in outcomes]
        return {**report, "ok": status == 0, "exit": status, "results": results, "lines": said}

    async def _on_device(self, line: Line, arguments: list[str], report: Report) -> Report:
        assert self.device is not None
        if line.word == "record":
            if self._keep is None:
                return {**report, "ok": False, "problem": "recording is not offered here"}
            return {**report, "lines": [await self._keep(self.device, arguments[0])]}
        if line.word == "track":
            return await self._track(place(Word(1, arguments[0])), report)
        if line.word == "put":
            return await self._write(line, report)
        if line.word == "vtoc":
            return await self._vtoc(report)
        result = await self._program(build_program(line.text))
        shown = [text for data in result.reads if data for text in dump_lines("data", data)]
        return {**report, **ending(result), "data": [data.hex().upper() for data in result.reads], "lines": shown}

    async def _program(self, program: ChannelProgram) -> ProgramResult:
        assert self.device is not None
        return await self.session.run_program(self.device, program)

    async def _track(self, address: Cchh, report: Report) -> Report:
        result = await self._program(orders.read_track(address))
        if not result.completed:
            return {**report, **ending(result)}
        records = records_of(address, result.data)
        shown = [{"id": r.count[:5].hex(), "key": r.key.hex().upper(), "data": r.data.hex().upper()} for r in records]
        return {**report, **ending(result), "records": shown, "lines": list(track_lines(address, records))}

    async def _write(self, line: Line, report: Report) -> Report:
        identifier, data = _put(Words(1, _words_of(line.text)[1:]))
        result = await self._program(orders.put_record(identifier, data))
        return {**report, **ending(result)}

    async def _vtoc(self, report: Report) -> Report:
        label = label_of(await self._records(Cchh(0, 0)))
        records = await self._records(label.vtoc)
        first, last = vtoc_extent(records)
        for track in range(_track_number(first) + 1, _track_number(last) + 1):
            records += await self._records(Cchh(*divmod(track, HEADS)))
        return {**report, "lines": list(contents_lines(label, (first, last), records))}

    async def _records(self, address: Cchh) -> list[Record]:
        """Raises FormatError when the track cannot be read."""
        result = await self._program(orders.read_track(address))
        if not result.completed:
            why = ending(result).get("sense_text") or result.problem or "not completed"
            raise FormatError("track", f"{address.cylinder},{address.head} cannot be read: {why}", b"")
        return records_of(address, result.data)


def _track_number(address: Cchh) -> int:
    return address.cylinder * HEADS + address.head


def help_lines(word: str) -> list[str]:
    """All commands, or what is known of one."""
    if word in MNEMONICS:
        return [mnemonic_help(MNEMONICS[word])]
    if word.lower() in WORDS:
        return help_of(WORDS[word.lower()])
    matches = [verb_help(verb) for verb in VERBS if verb == word or verb.split()[0] == word]
    if matches:
        return matches
    if word:
        return [f"nothing is known of {word!r}"]
    own = [line[4:] for line in (__doc__ or "").splitlines() if line.startswith("    ")]
    known = [word.name for word in WORDS.values()]
    lists = ("programs: " + " ".join(MNEMONICS), "commands: " + ", ".join(VERBS), "remote copy: " + " ".join(known))
    return [*own, "", *lists]
