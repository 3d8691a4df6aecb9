"""What an operator can do to a running system: look at it; volumes, snapshots, restores and clones while hosts go on.

Every verb ends when its change is durable. A snapshot is taken between two records of the log, so it is the volume as
it was at one instant. A restore waits until no channel program works on the device, and keeps others waiting.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from itertools import chain
from typing import Any

import trio

from ccw.geometry import Geometry
from controller.array import StoreError, UnknownVolumeError
from controller.array.images import PlainStream, plain_length, plain_pieces, stored_tracks
from controller.array.images.transfer import STEP_BYTES
from controller.array.in_place import shadow_of
from controller.array.snapshots import Snapshot, SnapshotCatalog, SnapshotError
from controller.array.volumes import (
    ADDED,
    READ_ONLY,
    UNIT_ADDRESS,
    VolumeExistsError,
    VolumeInfo,
    begin_volume,
    complete_volume,
    create_volume,
    delete_volume,
    host_volumes,
    volume_of,
)
from controller.box import VolumeSettings
from controller.commands.attachment import control_units_for
from controller.commands.profiles import PROFILES, Profile
from controller.links.system import StorageSystem
from controller.remote_copy.pair import Pair

IDLE_S = 30.0
POLL_S = 0.005
UNIT_ADDRESSES = 256
OPERATOR = "operator"
CHECK_STEP_BYTES = 1 << 20


class BusyError(StoreError):
    """The device is in use, or was all the time."""


class Operations:
    """The verbs over one running system. All on the event loop's thread."""

    def __init__(self, system: StorageSystem, name: str) -> None:
        self._system = system
        self._store = system.store
        self._name = name
        self.catalog = SnapshotCatalog(system.store)
        self._started = time.time()
        self._importing: set[int] = set()

    # To look at

    def status(self) -> dict[str, Any]:
        """The system as a whole."""
        store = self._store
        return {
            "name": self._name,
            "started": self._started,
            "fenced": store.fenced,
            "appended": store.appended,
            "durable": store.durable,
            "shared_dasd": self._system.shared.address if self._system.shared is not None else None,
            "host_ports": self._system.adapters.host_addresses(),
            "volumes": len(self._numbers()),
            "snapshots": len(self.catalog.all()),
            "statistics": self._system.statistics(),
        }

    def volumes(self) -> list[dict[str, Any]]:
        """The volumes that are served, by device number."""
        return [self.volume(number) for number in sorted(self._numbers())]

    def volume(self, number: int) -> dict[str, Any]:
        """One volume. Raises UnknownVolumeError."""
        address = self._address(number)
        info = volume_of(self._store, number)
        return {**_volume(info), "unit_address": f"{address:02X}", "snapshots": len(self.catalog.of(number)),
                **self._use(number, address)}  # fmt: skip

    def _use(self, number: int, address: int) -> dict[str, Any]:
        subsystem = self._system.subsystem
        pair = self._pair(address)
        shared = self._system.shared.core.volume(number) if self._system.shared is not None else None
        return {
            "read_only": subsystem.devices[address].settings.read_only,
            "online": subsystem.devices[address].ready,
            "pair": None if pair is None else _pair(pair),
            "clients": 0 if shared is None else len(shared.sessions),
            "fault": None if shared is None else shared.fault,
        }

    def pairs(self) -> list[dict[str, Any]]:
        """The pairs of this system, primaries first."""
        core = self._system.subsystem.remote_copy.core
        return [_pair(pair) for pair in (*core.primaries.values(), *core.secondaries.values())]

    def snapshots(self, number: int | None = None) -> list[dict[str, Any]]:
        """All snapshots, or those of a volume, oldest first."""
        found = self.catalog.all() if number is None else self.catalog.of(number)
        return [self._snapshot(snapshot) for snapshot in found]

    # To do

    async def create_snapshot(self, number: int, name: str) -> dict[str, Any]:
        """Take a snapshot of a volume. Raises SnapshotError, UnknownVolumeError."""
        snapshot, sequence = self.catalog.create(number, name, time.time())
        await self._durable(sequence)
        return self._snapshot(snapshot)

    async def delete_snapshot(self, number: int, name: str) -> None:
        """Delete a snapshot. Raises SnapshotError."""
        await self._durable(self.catalog.delete(number, name))

    async def restore(self, number: int, name: str) -> None:
        """Give a volume back what it held. Raises SnapshotError for a volume of a pair or of a bridge, BusyError."""
        address = self._address(number)
        async with self._idle(address, number):
            sequence = self.catalog.restore(number, name, lambda _: self._why_not(address))
            self._system.array.tracks_replaced(address)
            await self._durable(sequence)
        self._system.log(None, "restored", {"device": f"{number:04X}", "snapshot": name})

    async def clone(self, number: int, name: str, target: int, *, read_only: bool = False) -> dict[str, Any]:
        """Serve a snapshot's contents as the new volume `target`. Raises SnapshotError, VolumeExistsError."""
        address = self._free_address(target)
        geometry = self.catalog.find(number, name).geometry
        self.catalog.clone(number, name, target)
        await self._serve(target, address, geometry, read_only=read_only)
        return self.volume(target)

    async def practice(self, name: str, copies: Mapping[int, int]) -> list[dict[str, Any]]:
        """Serve writable copies of secondaries, all as they are at one instant, while their mirroring goes on.

        copies: a secondary's device number to that of the new volume. The snapshots they are made of stay, as `name`.
        Raises SnapshotError where a volume is no secondary, its copy is not complete, or the name is taken, and
        VolumeExistsError; then nothing was made.
        """
        for number, target in copies.items():
            pair = self._system.subsystem.remote_copy.core.secondaries.get(self._address(number))
            if pair is None:
                raise SnapshotError(f"volume {number:04X} is not the secondary of a pair")
            if not pair.consistent:
                raise SnapshotError(f"the copy on volume {number:04X} is not complete ({_state(pair)})")
            if any(snapshot.name == name for snapshot in self.catalog.of(number)):
                raise SnapshotError(f"volume {number:04X} has a snapshot {name!r} already")
            if target in self._store.volumes():
                raise VolumeExistsError(target)
        if len(set(copies.values())) < len(copies):
            raise SnapshotError("two copies have the same device number")
        now = time.time()
        for number in copies:  # nothing else runs between them: it is one instant of the log
            self.catalog.create(number, name, now)
        return [await self.clone(number, name, target) for number, target in copies.items()]

    async def create_volume(self, number: int, geometry: Geometry, tracks: Mapping[int, bytes]) -> dict[str, Any]:
        """Make a new volume and serve it. Raises VolumeExistsError."""
        address = self._free_address(number)
        create_volume(self._store, number, geometry, tracks)
        await self._serve(number, address, geometry, read_only=False)
        return self.volume(number)

    async def import_volume(self, number: int, length: int, pieces: AsyncIterator[bytes]) -> dict[str, Any]:
        """Make a volume of a plain image of `length` bytes as it comes, and serve it. Cut off, it has left no volume.

        Raises ImageError, VolumeExistsError, BusyError while another import makes the same volume.
        """
        self._free_address(number)
        if number in self._importing:
            raise BusyError(f"volume {number:04X} is being imported")
        begin_volume(self._store, number, {"importing": PlainStream.form})
        self._importing.add(number)
        try:
            geometry = await self._receive(number, PlainStream(f"for volume {number:04X}", length), pieces)
            address = self._free_address(number)
            complete_volume(self._store, number, geometry)
        except BaseException:
            with suppress(StoreError):  # fenced: a restart finds that it is no volume
                self._store.delete_volume(number)
            raise
        finally:
            self._importing.discard(number)
        await self._serve(number, address, geometry, read_only=False)
        return self.volume(number)

    async def _receive(self, number: int, image: PlainStream, pieces: AsyncIterator[bytes]) -> Geometry:
        held = 0
        async for piece in pieces:
            for track, stored in image.feed(piece):
                if stored is not None:
                    sequence = self._store.write_stored(number, track, stored)
                    held += len(stored.payload)
            if held >= STEP_BYTES:
                await self._durable(sequence)
                held = 0
        return image.finish()

    async def delete_volume(self, number: int) -> None:
        """Delete a volume that nobody uses; its snapshots stay. Raises UnknownVolumeError, BusyError."""
        address = self._address(number)
        self._unused(number, address)
        async with self._idle(address, number):
            pass
        self._unused(number, address)
        sequence = delete_volume(self._store, number)
        self._system.remove_volume(address, number)
        await self._durable(sequence)
        self._system.log(None, "deleted", {"device": f"{number:04X}"})

    def set_ready(self, number: int, ready: bool) -> dict[str, Any]:
        """Take a volume offline, or put it online again; hosts find the device not ready meanwhile, until a restart.

        Raises UnknownVolumeError.
        """
        self._system.subsystem.state_changes.set_ready(self._address(number), ready)
        self._system.log(None, "online" if ready else "offline", {"device": f"{number:04X}"})
        return self.volume(number)

    def _unused(self, number: int, address: int) -> None:
        """Raise BusyError when somebody needs the volume."""
        reason = self._why_not(address)
        clients = self._use(number, address)["clients"]
        if shadow_of(number) in self._store.volumes():
            reason = "it is a physical volume, its tracks lie in an image"
        elif clients:
            reason = f"attached by {clients} client{'s' if clients > 1 else ''} of shared devices"
        elif self._system.subsystem.volumes[address].aliases:
            reason = "it has aliases"
        elif self._system.subsystem.devices[address].paths.online:
            reason = "it is online to a host"
        if reason is not None:
            raise BusyError(f"volume {number:04X} cannot be deleted: {reason}")

    async def check(self) -> dict[str, Any]:
        """Verify every record in use, a little at a time: what was read, and the tracks that are damaged."""
        scrub = self._store.scrub()
        while not scrub.done:
            scrub.step(CHECK_STEP_BYTES)
            await trio.lowlevel.checkpoint()
        damaged = [
            {"volume": f"{damage.volume:04X}", "track": damage.track, "why": damage.reason} for damage in scrub.damaged
        ]
        return {"records": scrub.records, "bytes": scrub.bytes, "damaged": damaged}

    def image(self, number: int, name: str) -> tuple[int, AsyncIterator[bytes]]:
        """A snapshot as a plain image in one file: its length in bytes, and the bytes. Raises SnapshotError."""
        snapshot = self.catalog.find(number, name)
        return plain_length(snapshot.geometry), self._image(snapshot)

    async def _image(self, snapshot: Snapshot) -> AsyncIterator[bytes]:
        """The bytes. A track that cannot be read ends them too soon; why, only the event log tells."""
        geometry = snapshot.geometry
        try:
            for piece in plain_pieces(snapshot.name, geometry, stored_tracks(self._store, snapshot.number, geometry)):
                yield piece
                await trio.lowlevel.checkpoint()
        except StoreError as error:
            fields = {"device": f"{snapshot.volume:04X}", "snapshot": snapshot.name, "why": str(error)}
            self._system.log(None, "an image was cut off", fields)
            raise

    # Inside

    async def _serve(self, number: int, address: int, geometry: Geometry, *, read_only: bool) -> None:
        """A volume of the store becomes a device, now and at every start, when what was done to it is durable."""
        attributes = {**self._store.attributes(number), UNIT_ADDRESS: address, ADDED: True}
        if read_only:
            attributes[READ_ONLY] = True
        await self._durable(self._store.define_volume(number, attributes))
        like = next(iter(self._system.subsystem.volumes.values()))
        settings = VolumeSettings(
            unit_address=address,
            geometry=geometry,
            identity=replace(like.identity, unit_address=address),
            read_only=read_only,
            features=like.features,
            number=number,
            profile=self._profile(geometry),
        )
        self._system.add_volume(settings, number)

    def _profile(self, geometry: Geometry) -> Profile:
        own = self._system.subsystem.settings.profile
        known = control_units_for(geometry)
        return own if own.name in known else PROFILES[known[0]]

    def _numbers(self) -> dict[int, int]:
        """Device number -> unit address of what is served."""
        subsystem = self._system.subsystem
        known = {info.number for info in host_volumes(self._store)}
        numbers = {settings.number if settings.number is not None else address: address
                   for address, settings in subsystem.volumes.items()}  # fmt: skip
        return {number: address for number, address in numbers.items() if number in known}

    def _address(self, number: int) -> int:
        address = self._numbers().get(number)
        if address is None:
            raise UnknownVolumeError(number)
        return address

    def _free_address(self, number: int) -> int:
        taken = self._system.subsystem.devices
        for address in chain((number & 0xFF,), range(UNIT_ADDRESSES)):
            if address not in taken:
                return address
        raise StoreError(f"all {UNIT_ADDRESSES} unit addresses are taken")

    def _pair(self, address: int) -> Pair | None:
        core = self._system.subsystem.remote_copy.core
        return core.primaries.get(address) or core.secondaries.get(address)

    def _why_not(self, address: int) -> str | None:
        pair = self._pair(address)
        if pair is not None:
            side = "primary" if pair.is_primary else "secondary"
            return f"it is the {side} of pair {pair.pair_id} ({_state(pair)})"
        if address in self._system.subsystem.remote_copy.core.roles:
            return "it is a bridge volume"
        return None

    @asynccontextmanager
    async def _idle(self, address: int, number: int) -> AsyncIterator[None]:
        """Hold the device: no host works on it meanwhile."""
        subsystem = self._system.subsystem
        with trio.move_on_after(IDLE_S):
            while not subsystem.hold(OPERATOR, address):
                await trio.sleep(POLL_S)
        if subsystem.devices[address].active_path != OPERATOR:
            raise BusyError(f"volume {number:04X} was in use for {IDLE_S:.0f} s, or is reserved")
        try:
            yield
        finally:
            subsystem.let_go(OPERATOR, address)

    def _snapshot(self, snapshot: Snapshot) -> dict[str, Any]:
        return {
            "device": f"{snapshot.volume:04X}",
            "name": snapshot.name,
            "created": snapshot.created,
            "model": snapshot.geometry.name,
            "cylinders": snapshot.geometry.cylinders,
            "tracks": snapshot.geometry.tracks,
            "written": self._store.allocated(snapshot.number),
        }

    async def _durable(self, sequence: int) -> None:
        if not await self._system.committer.durable(sequence):
            raise StoreError("the array is fenced: the change may be lost")


def _state(pair: Pair) -> str:
    return pair.state.name.lower().replace("_", " ")


def _volume(info: VolumeInfo) -> dict[str, Any]:
    geometry = info.geometry
    return {
        "device": f"{info.number:04X}",
        "model": geometry.name,
        "cylinders": geometry.cylinders,
        "tracks": geometry.tracks,
        "written": info.allocated,
    }


def _pair(pair: Pair) -> dict[str, Any]:
    return {
        "pair": pair.pair_id,
        "role": "primary" if pair.is_primary else "secondary",
        "volume": f"{pair.volume:02X}",
        "primary": _name(pair.primary),
        "secondary": _name(pair.secondary),
        "state": _state(pair),
        "tracks": pair.tracks,
        "out_of_sync": pair.out_of_sync.count() if pair.is_primary else None,
    }


def _name(volume: Any) -> dict[str, str]:
    return {
        "serial": volume.identity.decode("cp037"),
        "ssid": f"{volume.ssid:04X}",
        "lss": f"{volume.lss:02X}",
        "cca": f"{volume.cca:02X}",
    }
