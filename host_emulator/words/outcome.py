"""How a task ended: a verdict that stays the same for automation, and a sentence for people."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ccw.ccws import UnitStatus
from host_emulator.channel import ProgramResult
from host_emulator.sense_text import describe_sense


class Verdict(StrEnum):
    """What became of a task."""

    DONE = "done"
    ALREADY = "already"  # it was so: nothing had to be done, or what was sent found it so
    REFUSED = "refused"
    BAD_INPUT = "bad-input"
    UNANSWERED = "unanswered"
    NOT_YET = "not-yet"
    STOPPED = "stopped"


EXIT: dict[Verdict, int] = {
    Verdict.DONE: 0,
    Verdict.ALREADY: 0,
    Verdict.REFUSED: 1,
    Verdict.BAD_INPUT: 2,
    Verdict.UNANSWERED: 3,
    Verdict.NOT_YET: 4,
    Verdict.STOPPED: 5,
}
EXIT_MEANINGS: dict[int, str] = {
    0: "done, or it was so already: nothing had to be done",
    1: "refused by the storage system, whose sense is shown; `lspprc -check`: not all pairs are duplex",
    2: "bad input: a word that cannot be read, or a system or volume that is not as named; nothing was done for it",
    3: "the storage system cannot be reached, or did not answer: it may have done what was asked, or not",
    4: "`-wait`: the time given by `--timeout` is up; the copy goes on",
    5: "`-wait`: the copy has stopped and will not become duplex by itself; the reason is shown",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one task. `order`: the parameter list that was sent. `lines`: what is shown of a listing."""

    verdict: Verdict
    subject: str
    text: str
    order: bytes = b""
    result: ProgramResult | None = None  # of a refusal
    lines: tuple[str, ...] = ()
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def exit(self) -> int:
        """The exit status that it alone would give."""
        return EXIT[self.verdict]

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        found: dict[str, Any] = {"subject": self.subject, "verdict": self.verdict.value, "text": self.text}
        if self.order:
            found["order"] = self.order.hex().upper()
        if self.result is not None:
            found["unit_status"] = f"{self.result.unit_status:02X}"
            if self.result.sense:
                found["sense"] = self.result.sense.hex().upper()
        return {**found, **self.fields}

    def said(self) -> list[str]:
        """As lines for people."""
        if self.lines:
            return list(self.lines)
        return [f"{self.subject}: {self.text}" if self.subject else self.text]


def exit_of(outcomes: Iterable[Outcome]) -> int:
    """The exit status of a word: the highest of its tasks."""
    return max((outcome.exit for outcome in outcomes), default=0)


def refusal(subject: str, order: bytes, result: ProgramResult) -> Outcome:
    """What a refused order becomes."""
    busy = result.unit_status & UnitStatus.BUSY
    status = "the device is busy" if busy else f"unit status {result.unit_status:02X}"
    why = describe_sense(result.sense) if result.sense else status
    return Outcome(Verdict.REFUSED, subject, f"refused: {why}", order, result)
