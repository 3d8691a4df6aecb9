"""Programs of a machine without concurrent sense: its Sense programs find the sense only if nothing took it before.

A S/370 has no other way, and stand-alone programs send Sense on every machine.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator

from ccw.ccws import CommandCode
from host_emulator.channel import InterfaceControlCheck, Response, Start
from tools.recording import RecordedProgram


def with_sense_program(programs: Iterable[RecordedProgram]) -> Iterator[tuple[RecordedProgram, bool]]:
    """Yield each program and whether the next one asks the same device for its sense."""
    earlier: RecordedProgram | None = None
    for program in programs:
        if earlier is not None:
            asks = bool(program.commands) and program.commands[0].code == CommandCode.SENSE
            yield earlier, asks and program.device == earlier.device
        earlier = program
    if earlier is not None:
        yield earlier, False


def leaving_sense(
    recorded: RecordedProgram, program: Generator[Start, Response, None]
) -> Generator[Start, Response, None]:
    """Run `program`, which follows `recorded`, without soliciting sense: the Sense program behind it compares that."""
    try:
        start = next(program)
        index = 0
        while True:
            try:
                response = yield start._replace(solicit_sense=False)
            except InterfaceControlCheck as problem:
                start = program.throw(problem)
                continue
            if response.sense is None:
                response = response._replace(sense=recorded.commands[index].sense)
            start = program.send(response)
            index += 1
    except StopIteration:
        pass
