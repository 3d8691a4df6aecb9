"""How a target is reached: two systems in this process, or over TCP. Also the check that it has what the suite needs.

The only module of the suite that imports the controller, and only to run it.
"""

from __future__ import annotations

import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from ccw.errors import FormatError
from ccw.geometry import Cchh
from ccw.tracks import parse_track
from controller.config import SystemConfig, check_config
from host_emulator import orders
from host_emulator.channel import InterfaceControlCheck
from host_emulator.orders import System
from host_emulator.session import HostSession, session_over
from tools.conformance.bench import Connect, Target
from tools.conformance.requirements import (
    ABSENT,
    ABSENT_ADDRESS,
    ALIAS_PROFILES,
    LABEL,
    LABEL_TRACK,
    REQUIRED,
    Required,
    configuration,
)
from tools.in_process import in_process

CONNECT_TIMEOUT_S = 10.0
_FAR_TYPES = {0x3990: {0xEC: "3990-3", 0xE9: "3990-6"}, 0x2105: {0xE8: "2105"}, 0x2107: {0xE8: "2107"}}


class TargetError(Exception):
    """The target cannot be used; one line."""


@asynccontextmanager
async def in_process_target(profile: str = "2107") -> AsyncIterator[Target]:
    """Two systems in this process with the devices of the suite."""
    configs = [_config(name, profile) for name in ("A", "B")]
    async with in_process(*configs) as (a, b):
        names = {name: System(c.ssid, c.lss, c.serial) for name, c in zip("AB", configs, strict=True)}
        devices = {required.name: required.address for required in REQUIRED} | {ABSENT: ABSENT_ADDRESS}
        yield Target(a.connect, b.connect, devices, names, profile)


def _config(name: str, profile: str) -> SystemConfig:
    return check_config(tomllib.loads(configuration(name, profile)), Path())


@asynccontextmanager
async def tcp_target(
    address: tuple[str, int], second: tuple[str, int] | None, devices: dict[str, int], force: bool = False
) -> AsyncIterator[Target]:
    """A system that listens at `address`, and a second one. Raises TargetError when they lack something."""
    addresses = {required.name: devices.get(required.name, required.address) for required in REQUIRED}
    addresses[ABSENT] = devices.get(ABSENT, ABSENT_ADDRESS)
    connect = _connecting(address)
    profile, own = await _inspect("target", connect, addresses, [*REQUIRED], force)
    names, other = {"A": own}, None
    if second is not None:
        other = _connecting(second)
        needed = [required for required in REQUIRED if required.second]
        _, names["B"] = await _inspect("second system", other, addresses, needed, force)
    yield Target(connect, other, addresses, names, profile)


def _connecting(address: tuple[str, int]) -> Connect:
    async def connect() -> trio.abc.Stream:
        return await trio.open_tcp_stream(*address)

    return connect


async def _inspect(
    who: str, connect: Connect, addresses: dict[str, int], needed: list[Required], force: bool
) -> tuple[str, System]:
    """Check the devices; the profile and the name of the system."""
    try:
        with trio.fail_after(CONNECT_TIMEOUT_S):
            async with session_over(await connect()) as session:
                for required in needed:
                    if required.base is not None and not await _has_aliases(session, addresses["scratch"]):
                        continue
                    await _check_device(who, session, required, addresses[required.name])
                for name in ("scratch", "spare"):
                    if not force:
                        await _check_label(who, session, addresses[name])
                return await _identify(session, addresses["scratch"])
    except trio.TooSlowError:
        raise TargetError(f"{who}: no answer") from None
    except OSError as error:
        raise TargetError(f"{who}: {error.strerror or error}") from error
    except (InterfaceControlCheck, FormatError) as error:
        raise TargetError(f"{who}: {error}") from error


async def _check_device(who: str, session: HostSession, required: Required, address: int) -> None:
    sense_id = await session.run_program(address, orders.sense_id())
    characteristics = await session.run_program(address, orders.read_device_characteristics())
    wanted = (
        f"{who}: device {address:02X} ({required.name}): "
        f"a {required.device_type} of {required.cylinders} cylinders"
    )
    if not (sense_id.completed and characteristics.completed):
        raise TargetError(f"{wanted} is needed, nothing usable is there ({characteristics.problem or 'unit check'})")
    found_type = characteristics.data[3:5].hex()
    cylinders = int.from_bytes(characteristics.data[60:64], "big")
    if (found_type, cylinders) != (required.device_type, required.cylinders):
        raise TargetError(f"{wanted} is needed, there is a {found_type} of {cylinders}")


async def _has_aliases(session: HostSession, address: int) -> bool:
    return (await _identify(session, address))[0] in ALIAS_PROFILES


async def _check_label(who: str, session: HostSession, address: int) -> None:
    """Refuse a volume that holds something which is not ours: the suite formats it."""
    result = await session.run_program(address, orders.read_track(LABEL_TRACK))
    records = parse_track(b"\0" + Cchh(0, 0).pack() + result.data) if result.completed else []
    ours = any(LABEL.encode("cp037") == record.data[:10] for record in records)
    if len(records) > 1 and not ours:
        raise TargetError(
            f"{who}: device {address:02X} holds a volume that is not the suite's (no {LABEL}); --force formats it"
        )


async def _identify(session: HostSession, address: int) -> tuple[str, System]:
    sense_id = (await session.run_program(address, orders.sense_id())).data
    models = _FAR_TYPES.get(int(sense_id[1:3].hex(), 16), {})
    profile = models.get(sense_id[3])
    if profile is None:
        raise TargetError(f"control unit {sense_id[1:3].hex()}-{sense_id[3]:02X} is none that the suite knows")
    data = (await session.run_program(address, orders.read_configuration_data())).data
    serial = data[18:30].decode("cp037")
    return profile, System(int.from_bytes(data[232:234], "big"), data[30], serial)
