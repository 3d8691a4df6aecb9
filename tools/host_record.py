"""Keeps what a host session runs as a recording that `trackbridge replay` takes.

The volume is read as a whole at the beginning and at the end, so that the recording can be replayed from its first
state and its tracks compared; a volume above TRACKS_MAX is described without its content.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

from ccw.errors import FormatError
from ccw.geometry import Geometry, geometry_for
from ccw.tracks import track_digest
from host_emulator import orders
from host_emulator.channel import ChannelProgram, ProgramResult
from host_emulator.session import HostSession
from tools.recording import RecordedDevice, RecordingError
from tools.recording_writer import RecordingWriter, recorded

TRACKS_MAX = 20_000


class Recorder:
    """The `record` command of one session: one recording at a time, of one device."""

    def __init__(self, session: HostSession) -> None:
        self._session = session
        self._writer: RecordingWriter | None = None
        self._device: RecordedDevice | None = None
        self._started = 0.0

    async def command(self, unit_address: int, folder: str) -> str:
        """`record FOLDER` and `record off`; what to tell. Raises FormatError when it cannot be done."""
        try:
            if folder == "off":
                return await self.finish() or "nothing is being recorded"
            if self._writer is not None:
                return f"already recording into {self._writer.folder}"
            return await self._begin(unit_address, Path(folder))
        except RecordingError as error:
            raise FormatError("recording", str(error), b"") from error

    async def _begin(self, unit_address: int, folder: Path) -> str:
        device = await self._describe(unit_address)
        tracks = [item async for item in self._tracks(device)] if self._whole(device) else None
        writer = RecordingWriter(folder, folder.name)
        try:
            writer.add_device(device, tracks)
        except RecordingError:
            writer.abandon()
            raise
        self._writer, self._device, self._started = writer, device, time.monotonic()
        self._session.on_program = self._keep
        return f"recording device {unit_address:02X} into {folder}"

    async def finish(self) -> str:
        """End the recording, if there is one; what to tell. Raises FormatError, RecordingError when it is not whole."""
        writer, device = self._writer, self._device
        self._session.on_program = None
        self._writer = None
        if writer is None or device is None:
            return ""
        with writer:
            if self._whole(device):
                hashes = [(track, track_digest(image)) async for track, image in self._tracks(device)]
                writer.add_final(device.address, hashes)
        return f"{writer.programs} programs, {writer.commands} commands in {writer.folder}"

    def _keep(self, unit_address: int, program: ChannelProgram, result: ProgramResult) -> None:
        if self._writer is not None and self._device is not None and unit_address == self._device.address:
            microseconds = int((time.monotonic() - self._started) * 1_000_000)
            number = self._writer.programs + 1
            try:
                self._writer.add_program(recorded(number, microseconds, unit_address, program, result))
            except RecordingError as error:
                self._writer.abandon()
                self._writer, self._session.on_program = None, None
                raise FormatError("recording", f"{error}; nothing more is recorded", b"") from error

    @staticmethod
    def _geometry(device: RecordedDevice) -> Geometry:
        return geometry_for(device.device_type, device.cylinders)

    def _whole(self, device: RecordedDevice) -> bool:
        return self._geometry(device).tracks <= TRACKS_MAX

    async def _tracks(self, device: RecordedDevice) -> AsyncIterator[tuple[int, bytes]]:
        """Every track image, without its being recorded. Raises FormatError when one cannot be read."""
        geometry = self._geometry(device)
        for track in range(geometry.tracks):
            address = geometry.address_of(track)
            result = await self._session.run_program(device.address, orders.read_track(address))
            if not result.completed:
                raise FormatError("recording", f"track {address.cylinder},{address.head} cannot be read", b"")
            yield track, b"\0" + address.pack() + result.data

    async def _describe(self, unit_address: int) -> RecordedDevice:
        run = self._session.run_program
        identity = (await run(unit_address, orders.sense_id())).data
        characteristics = (await run(unit_address, orders.read_device_characteristics())).data
        configuration = (await run(unit_address, orders.read_configuration_data())).data
        if len(characteristics) != 64 or len(configuration) != 256:
            raise FormatError("recording", f"device {unit_address:02X} does not describe itself", b"")
        model = {0xEC: "-3", 0xE9: "-6", 0xC2: "-2"}.get(identity[3], "")
        unit = identity[1:3].hex()
        return RecordedDevice(
            address=unit_address,
            device_type=characteristics[3:5].hex(),
            control_unit=unit + model if unit == "3990" else unit,
            cylinders=int.from_bytes(characteristics[60:64], "big"),
            heads=characteristics[15],
            read_only=False,
            serial=configuration[18:30].decode("cp037"),
            manufacturer=configuration[13:16].decode("cp037"),
            plant=configuration[16:18].decode("cp037"),
            ssid=int.from_bytes(configuration[232:234], "big"),
            interface_id=int.from_bytes(configuration[226:228], "big"),
            initial=None,
            final=None,
        )
