"""Procedures that span several exchanges, written as generators.

A procedure yields a request (a function that will be given a reply callback) and is resumed with the reply. It may
raise `Refused` at any point; `run` hands result or refusal to `done`. No threads, no awaiting: the same
procedure runs on a live link and in a simulation.
"""

from collections.abc import Callable, Generator
from typing import Any, TypeVar

from controller.remote_copy.ports import ArrayFault
from controller.remote_copy.refusal import EQUIPMENT_CHECK, Refused

Reply = Callable[[Any], None]
Request = Callable[[Reply], None]
Result = TypeVar("Result")
Procedure = Generator[Request, Any, Result]


def run(procedure: Procedure[Result], done: Callable[[Result | Refused], None]) -> None:
    """Run `procedure` to its end; `done` is called once with its result or with the refusal it raised.

    An array that takes no record refuses too: with equipment check.
    """

    def resume(value: Any) -> None:
        while True:
            try:
                request = procedure.send(value)
            except StopIteration as stop:
                return done(stop.value)
            except Refused as refused:
                return done(refused)
            except ArrayFault:
                return done(Refused(EQUIPMENT_CHECK))
            answer = _Answer(resume)
            request(once(answer))
            if not answer.given:
                answer.waited_for = True
                return None
            value = answer.value

    resume(None)


class _Answer:
    """The reply to one request. One that is given within the request itself does not nest: the procedure loops."""

    def __init__(self, resume: Reply) -> None:
        self._resume = resume
        self.waited_for = False
        self.given = False
        self.value: Any = None

    def __call__(self, value: Any) -> None:
        if self.waited_for:
            self._resume(value)
        else:
            self.given, self.value = True, value


def once(action: Reply) -> Reply:
    """`action`, but only the first call counts: a reply that comes twice must not resume a procedure twice."""
    called = False

    def guarded(value: Any) -> None:
        nonlocal called
        if not called:
            called = True
            action(value)

    return guarded
