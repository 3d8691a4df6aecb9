"""`trackbridge director`: one director in the foreground, a switch between hosts and storage systems."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from pathlib import Path

import click
import trio

from ccw.link_control import NodeDescriptor, NodeFlag
from controller.channel.director import Director
from controller.channel.no_devices import NoDevices
from controller.links.director import DirectorShell
from controller.links.stream_link import Tap
from controller.toml_fields import ConfigError
from tools.bad_input import BadInput, first_of
from tools.captures import CaptureFile, capture_option, capturing
from tools.director_config import DirectorConfig, load_director_config

NODE_TYPE = "009032"  # as the descriptor of an ESCON director has it


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--check", is_flag=True, help="Validate only; nothing is started.")
@capture_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object when ready.")
def director(config: Path, check: bool, capture: Path | None, as_json: bool) -> None:
    """Run the director that CONFIG (a TOML file) describes until interrupted.

    Whoever connects to the socket of a port has that port's link address. Prints where each port listens once it is
    ready. Exit status 2: the configuration cannot be used.
    """
    try:
        settings = load_director_config(config)
        if check:
            click.echo("\n".join(_lines(settings, settings.ports)))
            return
        with capturing(capture) as file:
            trio.run(_serve, settings, as_json, file)
    except* (ConfigError, OSError) as group:
        first = first_of(group)
        text = first.strerror or str(first) if isinstance(first, OSError) else str(first)
        raise BadInput(text if text.startswith(str(config)) else f"{config}: {text}") from first


async def _serve(settings: DirectorConfig, as_json: bool, capture: CaptureFile | None) -> None:
    def make_tap(port: int) -> Tap | None:
        assert capture is not None
        return capture.tap(f"{settings.name} {port:02X}", "director port")

    switch = make_director(settings, trio.current_time())
    shell = DirectorShell(switch, make_tap if capture else None)
    async with trio.open_nursery() as nursery:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            await nursery.start(shell.run, settings.ports)
            if as_json:
                listening = {f"{port:02X}": f"{at[0]}:{at[1]}" for port, at in shell.addresses.items()}
                click.echo(json.dumps({"name": settings.name, "listening": listening}))
            else:
                click.echo("\n".join(_lines(settings, shell.addresses)))
            async for _ in signals:
                break
        nursery.cancel_scope.cancel()


def make_director(settings: DirectorConfig, now: float) -> Director:
    """The director of a configuration, at a time of the links' clock."""
    node = NodeDescriptor(NodeFlag.NOT_A_DEVICE, bytes(3), NODE_TYPE, "001", "HRC", "ZZ", settings.serial, 0)
    switch = Director(settings.ports, NoDevices(), node.encode())
    for one, other in settings.prohibited:
        switch.prohibit(one, other, now)
    for one, other in settings.static:
        switch.assign_static(one, other, now)
    for port in settings.blocked:
        switch.block(port, now)
    return switch


def _lines(settings: DirectorConfig, addresses: Mapping[int, tuple[str, int]]) -> list[str]:
    lines = [f"{settings.name}: {len(settings.ports)} ports"]
    for port, (host, number) in sorted(addresses.items()):
        lines.append(f"port {port:02X} listens at {host}:{number}{' (blocked)' if port in settings.blocked else ''}")
    lines += [f"ports {one:02X} and {other:02X} may not communicate" for one, other in settings.prohibited]
    lines += [f"ports {one:02X} and {other:02X} are dedicated to each other" for one, other in settings.static]
    return lines
