"""`trackbridge serve`: one storage system in the foreground."""

from __future__ import annotations

import gc
import json
import signal
from dataclasses import replace
from pathlib import Path

import click
import trio

from controller import app
from controller.array import StoreError
from controller.config import (
    LOOPBACK,
    ConfigError,
    ManagementConfig,
    PortConfig,
    SharedConfig,
    SystemConfig,
    load_config,
    networks,
)
from controller.links.stream_link import Tap
from controller.links.system import StorageSystem
from tools.bad_input import BadInput, first_of
from tools.captures import CaptureFile, capture_option, capturing, say_on_stderr
from tools.plain_store import listen_at, parse_import, settings_for


@click.command()
@click.argument("config", type=click.Path(path_type=Path), required=False)
@click.option("--store", type=click.Path(path_type=Path), metavar="DIR", help="Without CONFIG: the store to serve.")
@click.option("--import", "images", multiple=True, metavar="DEVICE=FILE", help="Make a volume of an image, once.")
@click.option("--shared-dasd", "shared", metavar="HOST:PORT", help="Share the volumes with emulated mainframes.")
@click.option("--allow", multiple=True, metavar="NETWORK", help="Who may share them; by default loopback.")
@click.option("--management", metavar="HOST:PORT", help="Let operators in over HTTP.")
@click.option("--check", is_flag=True, help="Validate only; nothing is created or started.")
@capture_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object when ready.")
def serve(
    config: Path | None,
    store: Path | None,
    images: tuple[str, ...],
    shared: str | None,
    allow: tuple[str, ...],
    management: str | None,
    check: bool,
    capture: Path | None,
    as_json: bool,
) -> None:
    """Run the storage system that CONFIG (a TOML file) describes until interrupted.

    Without CONFIG: serve every volume of a store to emulated mainframes, for example
    `trackbridge serve --store disks --import 0124=image.ckd --shared-dasd 127.0.0.1:3990`. The store is made if it does
    not exist; an image is imported if its device does not exist.

    Prints where each port listens once it is ready. Exit status 2: the configuration or the store cannot be used.
    """
    where = str(config or store)
    try:
        settings = _settings(config, store, images, _sharing(shared, allow))
        if management is not None:
            settings = replace(settings, management=ManagementConfig(listen_at(management, "--management")))
        if check:
            click.echo("\n".join(app.check(settings)))
            return
        with capturing(capture) as file:
            trio.run(_serve, settings, as_json, file)
    except* (ConfigError, StoreError, OSError) as group:
        first = first_of(group)
        text = str(first)
        raise BadInput(text if text.startswith((where, "--")) else f"{where}: {text}") from first


def _sharing(shared: str | None, allow: tuple[str, ...]) -> SharedConfig | None:
    if shared is None:
        if allow:
            raise BadInput("--allow goes with --shared-dasd")
        return None
    return SharedConfig(listen_at(shared, "--shared-dasd"), networks(allow, "--allow") if allow else LOOPBACK)


def _settings(
    config: Path | None, store: Path | None, images: tuple[str, ...], listening: SharedConfig | None
) -> SystemConfig:
    if (config is None) == (store is None):
        raise BadInput("either CONFIG.toml or --store DIR is needed")
    if config is not None:
        if images:
            raise BadInput("--import goes with --store; a configuration names a volume's image itself")
        settings = load_config(config)
        return replace(settings, shared=listening) if listening is not None else settings
    assert store is not None
    return settings_for(store, [parse_import(text) for text in images], listening)


async def _serve(settings: SystemConfig, as_json: bool, capture: CaptureFile | None) -> None:
    def make_tap(link_id: str, port: PortConfig) -> Tap | None:
        assert capture is not None
        return capture.tap(f"{settings.name} {link_id}", f"SAID {port.said:04X}, {port.kind} port")

    async with trio.open_nursery() as nursery:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            system: StorageSystem = await nursery.start(app.serve, settings, make_tap if capture else None)
            # What is there now stays: collecting it again and again would stop everybody for tens of milliseconds.
            gc.collect()
            gc.freeze()
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
    if system.management_address is not None:
        listening["management"] = "http://{}:{}".format(*system.management_address)
    if as_json:
        return json.dumps({"name": settings.name, "listening": listening})
    volumes = system.subsystem.volumes
    numbers = [address if volume.number is None else volume.number for address, volume in volumes.items()]
    lines = [f"{settings.name}: {len(numbers)} volumes, store {settings.store}"]
    shared, management = (listening.pop(name, None) for name in ("shared-dasd", "management"))
    lines += [f"port {said} listens at {where}" for said, where in listening.items()]
    if shared is not None:
        lines.append(f"shared devices at {shared}: {', '.join(f'{number:04X}' for number in numbers)}")
    if management is not None:
        lines.append(f"management at {management}")
    return "\n".join(lines)
