"""Sending an order unless it is so already: what every word that changes something does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ccw.errors import FormatError
from ccw.pprc import PprcOrder
from ccw.pprc_codes import Reason
from host_emulator.sense_text import STATUS_NOT_AS_REQUIRED
from host_emulator.words.desk import Desk, NotNamed, Refused, Unanswered
from host_emulator.words.outcome import Outcome, Verdict, refusal

So = Callable[[], Awaitable[str]]  # how it is, as a sentence; empty when it is not so


async def do(
    desk: Desk, device: int, order: PprcOrder, subject: str, so: So, done: So, *, unless: Reason | None = None
) -> Outcome:
    """Send the order unless it is so; `done` says what came of it. Raises Refused, Unanswered, NotNamed.

    What the order itself ended with stands, also where the system cannot be asked afterwards.
    unless: the order is sent anyway, and only a refusal with this reason means that it is so. It comes when that is
    durable; a query tells at once what an order has begun.
    """
    already = await so() if unless is None else ""
    if already:
        return Outcome(Verdict.ALREADY, subject, already)
    data = order.encode()
    try:
        await desk.order(device, order)
    except Refused as refused:
        already = await _heard(so) if unless in (None, _reason(refused)) else ""
        if already:
            return Outcome(Verdict.ALREADY, subject, already)
        return refusal(subject, data, refused.result)
    return Outcome(Verdict.DONE, subject, await _heard(done) or "accepted; how it is now cannot be asked", data)


def _reason(refused: Refused) -> int | None:
    sense = refused.result.sense
    return sense[8] if sense is not None and sense[7] == STATUS_NOT_AS_REQUIRED else None


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
