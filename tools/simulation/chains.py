"""A channel program as the simulation sees it: which tracks it touches how, and how long it is connected.

The chains of a recording are taken from its replay: what each command was to the hardware is what the models are told,
so connect time, cache use and tracks are those of the recorded system's own programs.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from controller.models.cache import CacheMode
from controller.models.link_timing import LinkTiming
from controller.models.work import CommandWork, ExtentUse, extent_use
from tools.follower import Followed, follow
from tools.recorded_devices import InProcess
from tools.recording import load_recording
from traces import recording_folder


class Touch(NamedTuple):
    """One track. `whole`: written without its old contents; a predictable write is, in nonvolatile storage."""

    track: int
    writes: bool
    whole: bool = True
    mode: CacheMode = CacheMode.NORMAL
    last: int | None = None
    fast: bool = True


class Chain(NamedTuple):
    """One channel program. `connect`: seconds on the host's link; `sent`: bytes written, which a mirror must send."""

    touches: tuple[Touch, ...]
    writes: bool
    connect: float
    sent: int


def chain_of(commands: Iterable[CommandWork], heads: int, timing: LinkTiming) -> Chain:
    """The chain that these commands make."""
    touches: list[Touch] = []
    use, connect, sent, first = ExtentUse(), 0.0, 0, True
    for command in commands:
        use = extent_use(command, heads) or use
        if command.touches_track:
            touch = Touch(command.track, command.writes, command.formats, use.mode, use.last_track, use.fast_write)
            if not touches or touches[-1][:2] != touch[:2]:
                touches.append(touch)
            sent += len(command.data) if command.writes else 0
        connect += timing.command(
            sends=len(command.data), receives=command.received, first=first, immediate=command.immediate
        )
        first = False
    return Chain(tuple(touches), any(touch.writes for touch in touches), connect, sent)


@lru_cache(maxsize=4)
def _recorded_works(name: str) -> tuple[tuple[int, tuple[CommandWork, ...]], ...]:
    """Heads and commands of every program of a recording, in order, as its replay carries them out."""
    recording = load_recording(recording_folder(name))
    system, followed = InProcess(recording), Followed()
    found = []
    for program in recording.programs():
        works = system.run(program.device, follow(program, followed))
        heads = system.geometries[program.device].heads
        found.append((heads, tuple(CommandWork._make(work) for work in works)))
    return tuple(found)


def recorded_chains(name: str, timing: LinkTiming) -> tuple[Chain, ...]:
    """The chains of a recording that touch tracks, in order. Raises RecordingError."""
    chains = (chain_of(commands, heads, timing) for heads, commands in _recorded_works(name))
    return tuple(chain for chain in chains if chain.touches)
