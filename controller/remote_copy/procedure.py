"""Procedures that span several exchanges, written as generators.

A procedure yields a request (a function that will be given a reply callback) and is resumed with the reply. It may
raise `Refused` at any point; `run` hands result or refusal to `done`. No threads, no awaiting: the same
procedure runs on a live link and in a simulation.
"""

from collections.abc import Callable, Generator
from typing import Any, TypeVar

from controller.remote_copy.refusal import Refused

Reply = Callable[[Any], None]
Request = Callable[[Reply], None]
Result = TypeVar("Result")
Procedure = Generator[Request, Any, Result]


def run(procedure: Procedure[Result], done: Callable[[Result | Refused], None]) -> None:
    """Run `procedure` to its end; `done` is called once with its result or with the refusal it raised."""

    def resume(value: Any) -> None:
        try:
            request = procedure.send(value)
        except StopIteration as stop:
            done(stop.value)
        except Refused as refused:
            done(refused)
        else:
            request(once(resume))

    resume(None)


def once(action: Reply) -> Reply:
    """`action`, but only the first call counts: a reply that comes twice must not resume a procedure twice."""
    called = False

    def guarded(value: Any) -> None:
        nonlocal called
        if not called:
            called = True
            action(value)

    return guarded
