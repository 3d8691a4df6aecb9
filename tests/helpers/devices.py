"""A device over tracks in memory, and a channel of a few lines that runs programs against it.

The channel here shares nothing with `host_emulator`: program steps are (code, data or count, flags), a transfer in
channel is ("TIC", index of its target). Rules: eckd-commands 1.8 and 1.9, format 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ccw.geometry import geometry_for
from ccw.profiles import DeviceIdentity
from ccw.tracks import Record, build_track, null_track, parse_track, standard_record_zero
from controller.commands.device import Device, DeviceSettings
from controller.commands.outcome import Command, Outcome
from controller.commands.profiles import profile_for

CC, SLI = 0x40, 0x20
VOLUME = 7


def track_with_records(cylinder: int, head: int, records: list[tuple[int, bytes, bytes]]) -> bytes:
    """A track image: standard R0, then records (R, key, data)."""
    cchh = bytes((cylinder >> 8, cylinder & 255, 0, head))
    made = [
        Record(cchh + bytes((number, len(key))) + len(data).to_bytes(2, "big"), key, data)
        for number, key, data in records
    ]
    return build_track(cylinder, head, [standard_record_zero(cylinder, head), *made])


class Tracks:
    """Track images by number; a track never written is empty. Counts what is written."""

    def __init__(self, heads: int = 15) -> None:
        self.heads = heads
        self.images: dict[int, bytes] = {}
        self.written: list[int] = []

    def read(self, volume: int, track: int) -> bytes:
        assert volume == VOLUME
        return self.images.get(track) or null_track(*divmod(track, self.heads))

    def write(self, track: int, image: bytes) -> None:
        self.images[track] = image
        self.written.append(track)


@dataclass
class Ended:
    """How a program ended. `data`: what each read sent; `steps`: commands executed; `index`: of the last one."""

    status: int
    length_wrong: bool
    residual: int
    sense: bytes | None
    data: list[bytes] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    index: int = 0
    outcome: Outcome | None = None


class Bench:
    """One device of 3,339 cylinders of a 3390 (unless told otherwise) and its tracks."""

    def __init__(
        self,
        profile: str = "3990-6",
        cylinders: int = 3339,
        device_type: str = "3390",
        *,
        read_only: bool = False,
        bridge: bool = False,
        features: frozenset[str] = frozenset(),
        unit_address: int = 0x20,
        sense_id: bool | None = None,
        seek_check: bool = False,
    ) -> None:
        geometry = geometry_for(device_type, cylinders)
        self.tracks = Tracks(geometry.heads)
        identity = DeviceIdentity(unit_address=unit_address, ssid=0x0100, serial="000000000123", lss=0x0A)
        settings = DeviceSettings(
            volume=VOLUME,
            unit_address=unit_address,
            geometry=geometry,
            profile=profile_for(profile),
            sense_id=sense_id,
            seek_check=seek_check,
            identity=identity,
            read_only=read_only,
            features=features,
            bridge=bridge,
        )
        self.device = Device(settings, self.tracks)

    def format(self, cylinder: int, head: int, records: list[tuple[int, bytes, bytes]]) -> None:
        """Fill a track: standard R0, then records (R, key, data)."""
        self.tracks.images[cylinder * self.tracks.heads + head] = track_with_records(cylinder, head, records)

    def records(self, cylinder: int, head: int) -> list[Record]:
        """What is on a track, R0 first."""
        return parse_track(self.tracks.read(VOLUME, cylinder * self.tracks.heads + head))

    def run(self, program: list[tuple[object, ...]], path: object = "A") -> Ended:
        """Run a program to its end; the chain is over afterwards."""
        index, chained = 0, False
        data: list[bytes] = []
        steps: list[int] = []
        while True:
            code, argument, *rest = program[index]
            if code == "TIC":
                assert isinstance(argument, int)
                index = argument
                continue
            assert isinstance(code, int)
            flags = rest[0] if rest else (CC if index + 1 < len(program) else 0)
            assert isinstance(flags, int)
            sent = argument if isinstance(argument, bytes) else b""
            count = len(argument) if isinstance(argument, bytes) else argument
            assert isinstance(count, int)
            outcome = self.device.execute(path, Command(code, flags, count, sent, chained))
            chained = True
            steps.append(code)
            for write in outcome.writes:
                assert write.volume == VOLUME
                self.tracks.write(write.track, write.image)
            if outcome.data:
                data.append(outcome.data)
            wrong = bool(outcome.residual or outcome.long_record) and not outcome.immediate
            length_wrong = wrong and not flags & SLI and not outcome.status & 3
            if outcome.status & 0xBF != 0x0C or length_wrong or not flags & CC:
                for write in self.device.end_chain(path):
                    self.tracks.write(write.track, write.image)
                return Ended(outcome.status, length_wrong, outcome.residual, outcome.sense, data, steps, index, outcome)
            index += 2 if outcome.status & 0x40 else 1
