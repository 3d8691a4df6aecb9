"""The volumes of a running system that a recording is replayed against: are they the recorded ones, what is on them.

Tracks are read by channel programs: Locate Record for Read Tracks from the home address, then Read Track, which every
control unit model here knows; older ones record by record (`tools.track_reader`).
"""

from __future__ import annotations

from collections.abc import Generator

from ccw.characteristics import device_characteristics
from ccw.geometry import Geometry
from host_emulator.channel import InterfaceControlCheck, Response, Start
from tools.recorded_devices import device_geometry, device_settings
from tools.recording import RecordedDevice, Recording
from tools.track_reader import END_OF_TRACK, LONGEST_TRACK_BYTES, Session, tracks_by_record

TRACKS_PER_PROGRAM = 15
DEFINE_EXTENT, LOCATE_RECORD, READ_TRACK = 0x63, 0x47, 0xDE
READ_CHARACTERISTICS, CHARACTERISTICS_BYTES = 0x64, 64
SHAPE = (slice(3, 5), slice(12, 14), slice(14, 16), slice(48, 52))  # device type, cylinders, heads, cylinders if more
CHAIN, SUPPRESS_LENGTH = 0x40, 0x20
NORMAL_END = 0x0C


class OtherDevice(Exception):
    """The device at the target is not the recorded one; the text is one line."""


async def check_target(session: Session, recording: Recording, unit_address: int | None = None) -> None:
    """Ask the target what its devices are. Raises OtherDevice when one has another type or size than was recorded.

    Devices that have no Read Device Characteristics are taken as they are.
    """
    for device in recording.devices.values():
        address = device.unit_address if unit_address is None else unit_address
        settings = device_settings(device, recording.features)
        found = await session.run(address, read_characteristics())
        if found is None:
            continue
        wanted = device_characteristics(settings.profile.presentation, settings.geometry)
        if len(found) < len(wanted) or any(found[part] != wanted[part] for part in SHAPE):
            raise OtherDevice(
                f"unit {address:02X} of the target is {_shape(found)}, the recording has {_shape(wanted)}"
            )


def read_characteristics() -> Generator[Start, Response, bytes | None]:
    """Read Device Characteristics; None when the device has no such command. Raises what the link does."""
    response = yield Start(READ_CHARACTERISTICS, SUPPRESS_LENGTH, CHARACTERISTICS_BYTES, b"", False)
    return response.data if response.status == NORMAL_END else None


def _shape(data: bytes) -> str:
    if len(data) < CHARACTERISTICS_BYTES:
        return f"something with {len(data)} bytes of characteristics"
    cylinders, heads = (int.from_bytes(data[part], "big") for part in SHAPE[1:3])
    return f"a {data[SHAPE[0]].hex()} of {cylinders} cylinders and {heads} heads"


def read_tracks(geometry: Geometry, first: int, stop: int) -> Generator[Start, Response, list[bytes]]:
    """Read the tracks `first` to `stop` (excluded) and return their images; fewer when the device does not deliver."""
    begin, end = geometry.address_of(first).pack(), geometry.address_of(stop - 1).pack()
    extent = b"\x40\xc0" + bytes(6) + begin + end
    locate = bytes((0x4C, 0, 0, stop - first)) + begin + begin + b"\0\xff\0\0"
    images: list[bytes] = []
    chained = False
    for code, data in ((DEFINE_EXTENT, extent), (LOCATE_RECORD, locate)):
        try:
            response = yield Start(code, CHAIN, len(data), data, chained)
        except InterfaceControlCheck:
            return images
        if response.status != NORMAL_END:
            return images
        chained = True
    for track in range(first, stop):
        flags = SUPPRESS_LENGTH | (CHAIN if track + 1 < stop else 0)
        try:
            response = yield Start(READ_TRACK, flags, LONGEST_TRACK_BYTES, b"", True)
        except InterfaceControlCheck:
            return images
        if response.status != NORMAL_END or not response.data.endswith(END_OF_TRACK):
            return images
        images.append(b"\0" + geometry.address_of(track).pack() + response.data)
    return images


async def all_tracks(
    session: Session, recording: Recording, device: RecordedDevice, unit_address: int
) -> list[tuple[int, bytes]]:
    """Every track of a recorded device that can be read there: track number and image."""
    geometry = device_geometry(device)
    profile = device_settings(device, recording.features).profile
    if DEFINE_EXTENT in profile.absent:
        return [pair async for pair in tracks_by_record(session, unit_address, geometry)]
    found: list[tuple[int, bytes]] = []
    for first in range(0, geometry.tracks, TRACKS_PER_PROGRAM):
        stop = min(first + TRACKS_PER_PROGRAM, geometry.tracks)
        images = await session.run(unit_address, read_tracks(geometry, first, stop))
        found += zip(range(first, stop), images, strict=False)
    return found
