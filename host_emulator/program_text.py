"""Channel programs as a line of text: commands by mnemonic, a semicolon between them.

    de 0,0-0,14 mask=40; lr read n=2 at=0,1,1; rd; rd
    seek 5,2; side 5,2,3; tic -1; rd count=80
    rd count=8 cd; + count=72 sli          a data chain: the CCW behind it goes on with the same command
    x47 06800001... ; x06 count=16         any command by its code, its data or its count

Words of every command: count=N (bytes in the CCW), sli cd skip pci (flags), mt (multitrack), @OFFSET=HEX (overwrite
parameter bytes). `tic -N` goes back N commands, `tic +N` forward; it counts itself as 0. Commands are chained; the
last one is not. Errors are a ProgramError with the column, counted from 1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import NamedTuple

from ccw.ccws import CcwFlag, CommandCode
from host_emulator.channel import CCW_BYTES, ChannelProgram, is_input
from host_emulator.mnemonics import ANY_LENGTH, MNEMONICS, Mnemonic
from host_emulator.parameters import MAX_COUNT, ProgramError, Word, Words, number, patch, patched, plain
from host_emulator.program import DATA_ORIGIN, PROGRAM_ORIGIN, ProgramBuilder
from host_emulator.storage import FORMAT_0_BYTES

MULTITRACK = 0x80
LONGEST_PROGRAM = 1000  # commands
FLAGS = {"sli": CcwFlag.SLI, "cd": CcwFlag.CD, "skip": CcwFlag.SKIP, "pci": CcwFlag.PCI}

__all__ = ["ProgramError", "build_program", "parse_program"]


class Step(NamedTuple):
    """One CCW as it will be built."""

    column: int
    code: int
    flags: int
    data: bytes | None  # what is sent; None for reads and immediate commands
    count: int  # type: ignore[assignment]  # hides tuple.count, which nothing needs
    jump: int = 0  # of a transfer in channel, in commands


def parse_program(text: str) -> list[Step]:
    """The commands of a program text. Raises ProgramError for the first thing that is wrong."""
    steps: list[Step] = []
    for words in _commands(text):
        steps.append(_command(words, steps))
        if len(steps) > LONGEST_PROGRAM:
            raise ProgramError(words[0].column, f"more than {LONGEST_PROGRAM} commands")
    if not steps:
        raise ProgramError(1, "no command")
    for index, step in enumerate(steps):
        if step.jump and not 0 <= index + step.jump < len(steps):
            raise ProgramError(step.column, "the transfer in channel leaves the program")
    if steps[-1].flags & CcwFlag.CD:
        raise ProgramError(steps[-1].column, "cd: a CCW must follow")
    if sum(step.count + CCW_BYTES for step in steps) > FORMAT_0_BYTES - DATA_ORIGIN:
        raise ProgramError(1, "the program and its data do not fit into the storage")
    return steps


def build_program(text: str, ccw_format: int = 1) -> ChannelProgram:
    """The program of a text, laid out in storage. Raises ProgramError."""
    builder = ProgramBuilder(ccw_format)
    for index, step in enumerate(parse_program(text)):
        if step.jump:
            builder.transfer(PROGRAM_ORIGIN + (index + step.jump) * CCW_BYTES)
        elif step.data is None:
            builder.read(step.code, step.count, step.flags)
        else:
            builder.write(step.code, step.data[: step.count].ljust(step.count, b"\0"), step.flags)
    return builder.build()


def _commands(text: str) -> list[list[Word]]:
    """Words with their columns, a list for each command that has any."""
    found: list[list[Word]] = [[]]
    for match in re.finditer(r";|(?:[^\s;']|'[^']*'?)+", text):
        if match[0] == ";":
            found.append([])
        elif match[0].count("'") % 2:
            raise ProgramError(match.start() + 1, "a quotation mark is missing")
        else:
            found[-1].append(Word(match.start() + 1, match[0]))
    return [words for words in found if words]


def _command(words: list[Word], before: list[Step]) -> Step:
    first, rest = words[0], words[1:]
    name = first.text.lower()
    if name == "tic":
        return _transfer(first, rest)
    row = _continued(first, before) if name == "+" else _row(first)
    taken = Words(first.column + len(first.text))
    flags, patches, multitrack = 0, [], False
    for word in rest:
        key, equals, value = word.text.partition("=")
        if word.text.lower() in FLAGS:
            flags |= FLAGS[word.text.lower()]
        elif word.text.lower() == "mt":
            if not row.multitrack:
                raise ProgramError(word.column, f"{name} has no multitrack form")
            multitrack = True
        elif word.text.startswith("@"):
            patches.append(patch(word))
        elif equals and re.fullmatch("[a-z]+", key.lower()) and key.lower() != "e":
            if key.lower() in taken.options:
                raise ProgramError(word.column, f"{key} is given twice")
            taken.options[key.lower()] = Word(word.column + len(key) + 1, value)
        else:
            taken.positional.append(word)
    count = taken.options.pop("count", None)
    data = row.build(taken) if row.build is not None else None
    _nothing_left(name, taken)
    if patches and data is None:
        raise ProgramError(patches[0][0].column, f"{name} sends nothing that could be overwritten")
    if data is not None:
        data = patched(data, patches)
    return _step(first, row, flags, multitrack, data, None if count is None else number(count, MAX_COUNT))


def _step(first: Word, row: Mnemonic, flags: int, multitrack: bool, data: bytes | None, count: int | None) -> Step:
    code = row.code | (MULTITRACK if multitrack else 0)
    if count is None:
        if data is not None:
            count = len(data)
        elif row.count is None:  # immediate: some count, suppressed
            count, flags = 1, flags | CcwFlag.SLI
        else:
            count = row.count
            flags |= CcwFlag.SLI if count == ANY_LENGTH else 0
    return Step(first.column, code, int(flags), data, count)


def _row(word: Word) -> Mnemonic:
    """The row of a mnemonic, or one made for a code in hex (xNN)."""
    name = word.text.lower()
    if name in MNEMONICS:
        return MNEMONICS[name]
    if re.fullmatch("x[0-9a-f]{2}", name):
        code = int(name[1:], 16)
        reading = is_input(code)
        return Mnemonic(name, code, "", "", None if reading else _optional, ANY_LENGTH if reading else None)
    raise ProgramError(word.column, no_such_command(word.text, MNEMONICS))


def no_such_command(text: str, known: Iterable[str]) -> str:
    """What to say of a word that is no command, with the one it is most like."""
    near = get_close_matches(text.lower(), list(known), 1)
    return f"no such command: {text!r}" + (f"; did you mean {near[0]}?" if near else "")


def _optional(words: Words) -> bytes:
    return words.data(b"")


def _continued(word: Word, before: list[Step]) -> Mnemonic:
    """`+`: the next CCW of a data chain. Its code has no meaning; the direction is that of the command."""
    if not before or not before[-1].flags & CcwFlag.CD:
        raise ProgramError(word.column, "+ continues a data chain: the CCW before has no cd")
    reading = before[-1].data is None
    return Mnemonic("+", before[-1].code, "", "", None if reading else plain, ANY_LENGTH if reading else None)


def _transfer(first: Word, rest: list[Word]) -> Step:
    match = re.fullmatch("([+-])([0-9]{1,3})", rest[0].text) if len(rest) == 1 else None
    if match is None or not int(match[2]):
        raise ProgramError(first.column, "tic: how many commands back (-N) or forward (+N)")
    return Step(first.column, CommandCode.TRANSFER_IN_CHANNEL, 0, None, 0, int(match[1] + match[2]))


def _nothing_left(name: str, words: Words) -> None:
    """What no builder took is not known to this command."""
    left = [*words.positional, *words.options.values()]
    if left:
        first = min(left, key=lambda word: word.column)
        known = next((key for key, word in words.options.items() if word is first), first.text)
        raise ProgramError(first.column, f"{name} does not take {known!r}")
