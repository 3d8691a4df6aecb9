"""`trackbridge top`: the pairs, the queue, the bridges and the paths of running systems, live."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import click
import trio
from rich.console import Console, Group
from rich.live import Live

from ccw.errors import FormatError
from host_emulator.channel import InterfaceControlCheck
from host_emulator.words import listing
from host_emulator.words.desk import Desk, NotNamed, Refused, Unanswered
from host_emulator.words.systems import own_of, text_of
from host_emulator.words.tasks import ShowPairs, ShowPaths
from tools.addresses import Target, tcp_target
from tools.sessions import TARGET_VARIABLE, is_interrupt, open_target
from tools.top_view import Sample, panel

UNREACHABLE = 3
RETRY_S = 2.0
Show = Callable[[], None]


@click.command()
@click.option("--target", "targets", envvar=TARGET_VARIABLE, multiple=True, required=True, metavar="tcp://HOST:PORT",
              help=f"A system to watch, at a host port; can be given more than once. Otherwise {TARGET_VARIABLE}.")
@click.option("--image", default=0, type=click.IntRange(0, 15), help="Control-unit image (default 0).")
@click.option("--interval", default=1.0, type=click.FloatRange(0.1), metavar="SECONDS", help="How often (default 1).")
@click.option("--once", is_flag=True, help="Show it once and end.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line and system, each interval.")
def top(targets: tuple[str, ...], image: int, interval: float, once: bool, as_json: bool) -> None:
    """Watch remote copy: pairs with what they wait for, tracks to copy, rate and time left; queue, bridges, paths.

    Ctrl-C ends it. Exit status 3: with --once, a system cannot be reached.
    """  # fmt: skip
    asked = [tcp_target(target) for target in targets]
    once = once or not (as_json or sys.stdout.isatty())
    try:
        reached = trio.run(_top, asked, image, interval, once, as_json)
    except BaseException as error:
        if is_interrupt(error):
            return
        raise
    if not reached:
        sys.exit(UNREACHABLE)


async def _top(targets: Sequence[Target], image: int, interval: float, once: bool, as_json: bool) -> bool:
    """False when a system could not be asked; that is an end only where it is asked once."""
    watched = [_Watched(target, image) for target in targets]
    if once:
        async with trio.open_nursery() as nursery:
            for one in watched:
                nursery.start_soon(one.look_once)
        if as_json:
            for one in watched:
                click.echo(json.dumps(one.plain()))
        else:
            Console().print(_view(watched))
        return all(one.problem == "" for one in watched)
    if as_json:
        await _for_ever(watched, interval, lambda one: click.echo(json.dumps(one.plain())))
    with Live(_view(watched), auto_refresh=False, screen=True) as live:
        await _for_ever(watched, interval, lambda one: live.update(_view(watched), refresh=True))
    return True


async def _for_ever(watched: Sequence[_Watched], interval: float, show: Callable[[_Watched], None]) -> None:
    async with trio.open_nursery() as nursery:
        for one in watched:
            nursery.start_soon(one.watch, interval, partial(show, one))


def _view(watched: Sequence[_Watched]) -> Group:
    return Group(*(panel(str(one.target), one.last, one.before, one.problem) for one in watched))


class _Watched:
    """One system: the last two looks at it, and what is wrong with the link."""

    def __init__(self, target: Target, image: int) -> None:
        self.target = target
        self.problem = "connecting"
        self.last: Sample | None = None
        self.before: Sample | None = None
        self._image = image

    async def watch(self, interval: float, show: Show) -> None:
        """Look for ever; a lost system is tried again."""
        while True:
            with_problem = await self._session(interval, show)
            self.problem, self.last, self.before = with_problem, None, None
            show()
            await trio.sleep(RETRY_S)

    async def look_once(self) -> None:
        """Look once."""
        self.problem = await self._session(math.inf, lambda: None)

    async def _session(self, interval: float, show: Show) -> str:
        """Look again and again, or once where `interval` is infinite; what ended it."""
        try:
            async with open_target(self.target, self._image, None) as session:
                while True:
                    self.before, self.last = self.last, await look(Desk(session))
                    self.problem = ""
                    show()
                    if math.isinf(interval):
                        return ""
                    await trio.sleep(interval)
        except OSError as error:
            return error.strerror or str(error)
        except Refused:
            return "its queries are refused"
        except (InterfaceControlCheck, Unanswered, NotNamed, FormatError, trio.TooSlowError) as error:
            return str(error) or "no answer"

    def plain(self) -> dict[str, Any]:
        """The last look, as JSON has it."""
        found: dict[str, Any] = {"target": str(self.target), "problem": self.problem or None}
        return found if self.last is None else {**found, **self.last.plain(self.before)}


async def look(desk: Desk) -> Sample:
    """Everything there is to be seen now. Raises Refused, Unanswered, NotNamed, FormatError."""
    paths, queue = await desk.paths(), await desk.queue()
    pairs = await listing.pair_rows(desk, ShowPairs(), paths, queue)
    bridges, waiting = listing.bridge_rows(queue)
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    system = text_of(own_of(paths))
    return Sample(time.monotonic(), at, system, pairs, bridges, waiting, listing.path_rows(paths, ShowPaths()))
