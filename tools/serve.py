"""`trackbridge serve`: one storage system in the foreground."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import click
import trio

from controller import app
from controller.array import StoreError
from controller.config import ConfigError, PortConfig, SystemConfig, load_config
from controller.links.stream_link import Tap
from controller.links.system import StorageSystem
from tools.bad_input import BadInput
from tools.captures import CaptureFile, capture_option, capturing, say_on_stderr


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--check", is_flag=True, help="Validate only; nothing is created or started.")
@capture_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object when ready.")
def serve(config: Path, check: bool, capture: Path | None, as_json: bool) -> None:
    """Run the storage system that CONFIG (a TOML file) describes until interrupted.

    Prints where each port listens once it is ready. Exit status 2: the configuration or the store cannot be used.
    """
    try:
        settings = load_config(config)
        if check:
            click.echo("\n".join(app.check(settings)))
            return
        with capturing(capture) as file:
            trio.run(_serve, settings, as_json, file)
    except* (ConfigError, StoreError, OSError) as group:
        first: BaseException = group
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        text = str(first)
        raise BadInput(text if text.startswith(str(config)) else f"{config}: {text}") from first


async def _serve(settings: SystemConfig, as_json: bool, capture: CaptureFile | None) -> None:
    def make_tap(link_id: str, port: PortConfig) -> Tap | None:
        assert capture is not None
        return capture.tap(f"{settings.name} {link_id}", f"SAID {port.said:04X}, {port.kind} port")

    async with trio.open_nursery() as nursery:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            system: StorageSystem = await nursery.start(app.serve, settings, make_tap if capture else None)
            if capture is not None:
                capture.say = lambda text: system.log(None, text, {})
            click.echo(_ready(settings, system, as_json))
            async for _ in signals:
                break
        system.log(None, "system stopped", system.statistics())
        if capture is not None:
            capture.say = say_on_stderr  # the event log closes before the capture
        nursery.cancel_scope.cancel()


def _ready(settings: SystemConfig, system: StorageSystem, as_json: bool) -> str:
    listening = {
        f"{said:04X}": f"{adapter.address[0]}:{adapter.address[1]}"
        for said, adapter in system.adapters.by_said.items()
        if adapter.address is not None
    }
    if system.shared is not None and system.shared.address is not None:
        listening["shared-dasd"] = "{}:{}".format(*system.shared.address)
    if as_json:
        return json.dumps({"name": settings.name, "listening": listening})
    lines = [f"{settings.name}: {len(settings.volumes)} volumes, store {settings.store}"]
    return "\n".join(lines + [f"port {said} listens at {where}" for said, where in listening.items()])
