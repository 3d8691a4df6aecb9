"""Operators' words said in a test: a text in, outcomes out."""

from __future__ import annotations

from host_emulator.session import HostSession
from host_emulator.words import parse_word
from host_emulator.words.desk import Desk
from host_emulator.words.outcome import Outcome
from host_emulator.words.wait import Patience, perform_all

ENDLESS = Patience()
TO_B = "-remotedev 0200:00:000000067890"
PATHS = "0010:0020 0011:0021 0012:0022 0013:0023"


async def say(session: HostSession, text: str, patience: Patience = ENDLESS) -> list[Outcome]:
    """What becomes of a word."""
    return await perform_all(Desk(session), parse_word(text), patience)


async def verdicts(session: HostSession, text: str, patience: Patience = ENDLESS) -> list[str]:
    """The verdicts alone."""
    return [outcome.verdict.value for outcome in await say(session, text, patience)]


async def set_up_by_words(to_a: HostSession, to_b: HostSession, *options: str) -> None:
    """Paths and a bridge, steps 600 to 614."""
    assert await verdicts(to_a, f"mkpprcpath {TO_B} {' '.join(options)} {PATHS}") == ["done"]
    await set_up_bridge_by_words(to_a, to_b)


async def set_up_bridge_by_words(to_a: HostSession, to_b: HostSession) -> None:
    """The bridge, once there are paths."""
    for session, text in (
        (to_a, "mkbridgevol -role primary-data F0"),
        (to_a, "mkbridgevol -role secondary-status F1"),
        (to_b, "mkbridgevol -role secondary-data F0"),
        (to_b, "mkbridgevol -role primary-status F1"),
        (to_a, "mkbridge F0:F0"),
    ):
        outcomes = await say(session, text)
        assert [outcome.verdict.value for outcome in outcomes] == ["done"], (text, outcomes)
