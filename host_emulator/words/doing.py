"""Sending an order unless it is so already: what every word that changes something does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ccw.errors import FormatError
from ccw.pprc import PprcOrder
from host_emulator.words.desk import Desk, NotNamed, Refused, Unanswered
from host_emulator.words.outcome import Outcome, Verdict, refusal

So = Callable[[], Awaitable[str]]  # how it is, as a sentence; empty when it is not so


async def do(desk: Desk, device: int, order: PprcOrder, subject: str, so: So, done: So) -> Outcome:
    """Send the order unless it is so; `done` says what came of it. Raises Refused, Unanswered, NotNamed.

    What the order itself ended with stands, also where the system cannot be asked afterwards.
    """
    already = await so()
    if already:
        return Outcome(Verdict.ALREADY, subject, already)
    data = order.encode()
    try:
        await desk.order(device, order)
    except Refused as refused:
        already = await _heard(so)
        if already:
            return Outcome(Verdict.ALREADY, subject, already)
        return refusal(subject, data, refused.result)
    return Outcome(Verdict.DONE, subject, await _heard(done) or "accepted; how it is now cannot be asked", data)


async def _heard(so: So) -> str:
    """How it is; empty also where that cannot be asked."""
    try:
        return await so()
    except (Refused, Unanswered, NotNamed, FormatError):
        return ""


async def said(text: str) -> str:
    return text


async def never() -> str:
    """It is never so: the order is always sent."""
    return ""
