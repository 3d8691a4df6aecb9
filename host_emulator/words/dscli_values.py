"""How DSCLI writes what its words are about: systems, volumes and pairs of them, ports. Each raises ProgramError."""

from __future__ import annotations

import re

from ccw.pprc import PathDescriptor
from host_emulator.orders import System
from host_emulator.parameters import ProgramError, Word, hexadecimal
from host_emulator.words.tasks import Naming
from host_emulator.words.vocabulary import serial


def system(word: Word) -> Naming:
    """A serial number, or SSID:LSS:SERIAL."""
    whole = System.of_text(word.text)
    if whole is not None:
        return Naming(*whole)
    if ":" in word.text:
        raise ProgramError(word.column, f"{word.text!r} is not SSID:LSS:SERIAL, nor a serial number")
    return Naming(serial=serial(word))


def volume(word: Word) -> tuple[int | None, int]:
    """LSS (None where it is left out) and unit address."""
    if not re.fullmatch("[0-9A-Fa-f]{2}([0-9A-Fa-f]{2})?", word.text):
        raise ProgramError(word.column, f"{word.text!r} is not a volume: LSS and unit address, or the unit address")
    lss = int(word.text[:2], 16) if len(word.text) == 4 else None
    return lss, int(word.text[-2:], 16)


def _halves(word: Word) -> tuple[Word, Word | None]:
    left, colon, right = word.text.partition(":")
    return Word(word.column, left), Word(word.column + len(left) + 1, right) if colon else None


def pair(word: Word) -> tuple[tuple[int | None, int], tuple[int | None, int]]:
    """SOURCE:TARGET, both volumes."""
    source, target = _halves(word)
    if target is None:
        raise ProgramError(word.column, f"{word.text!r} is not SOURCE:TARGET")
    return volume(source), volume(target)


def pair_or_volume(word: Word) -> tuple[tuple[int | None, int], tuple[int | None, int] | None]:
    """SOURCE:TARGET, or one volume."""
    source, target = _halves(word)
    return volume(source), None if target is None else volume(target)


def lss_pair(word: Word) -> tuple[int, int]:
    """SOURCE_LSS:TARGET_LSS."""
    source, target = _halves(word)
    if target is None:
        raise ProgramError(word.column, f"{word.text!r} is not SOURCE_LSS:TARGET_LSS")
    return hexadecimal(source, 2), hexadecimal(target, 2)


def port_pair(word: Word) -> PathDescriptor:
    """Our port, and the other system's, which this kind of link does not need; ports may begin with an I."""
    source, target = _halves(word)
    for half in (source, target):
        if half is not None and not re.fullmatch("I?[0-9A-Fa-f]{1,4}", half.text):
            raise ProgramError(half.column, f"{half.text!r} is not a port: 1 to 4 hexadecimal digits")
    return PathDescriptor(int(source.text.removeprefix("I"), 16), 0, 0)
