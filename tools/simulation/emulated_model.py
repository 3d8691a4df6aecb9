"""The running emulator as queues: what a host's write to a duplex volume waits for while pairs are established.

Both ways use the emulator's own chains, whose handshakes are counted as the models count them. What a handshake takes
(round trip and the two programs) comes from writes that were measured before anything was copied; what is predicted is
what the copies do to them.

    bridges        a chain of up to 16 records; updates go first in the *next* chain, so they wait for the one under
                   way; status comes back in chains of its own, one at a time, each with what gathered meanwhile; of
                   the copies as many are under way as the product's own CopyPace lets, while updates come
    conventional   every pending pair has a chain of `pace` tracks under way or waiting for one of the paths, first
                   come, first served; so has an update
    both           a volume is busy until the end of a mirrored write: other hosts wait for it, readers too
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from random import Random
from statistics import fmean
from typing import NamedTuple

from simpy import Environment, Event
from simpy.events import Timeout

from ccw.bridge import BRIDGE_HEADER_LENGTH
from controller.models.link_timing import CHAINED, FIRST_WRITE
from controller.remote_copy.bridge_chain import MAX_RECORDS_PER_CHAIN
from controller.remote_copy.copy_pace import CopyPace
from controller.remote_copy.settings import WINDOW_RECORDS
from controller.remote_copy.status_sender import ENTRIES_PER_PACKET
from tools.demo_sites import PEER_PORTS
from tools.simulation.emulated import BRIDGES, DUPLEX_VOLUMES, RECORD_BYTES, Measurement, Observed
from tools.simulation.setting import Setting
from tools.simulation.stations import Station
from tools.simulation.system import Process

PACE = 15
ARRIVES = 0.5  # of the last handshake of a record: when the data are there, before their sender knows it
BRIDGE_START = FIRST_WRITE + CHAINED  # handshakes of 63 and 4B, before the first record
UPDATE_START = FIRST_WRITE + 2 * CHAINED  # of 27, 63 and 4B, before the first track
SECONDS = 200.0  # simulated
CALIBRATIONS = 6


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was measured with nothing being copied. Seconds."""

    read: float
    local_write: float
    handshake: float
    harden: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """Mean response times in seconds, and tracks copied a second."""

    mean: float
    mirrored_write: float
    copied_per_s: float


def calibrate(idle: Observed, setting: Setting) -> Calibration:
    """What a handshake takes: as long as lets the queues without copies show what was measured without copies."""
    local, mirrored = fmean(idle.local_writes), fmean(idle.mirrored_writes)
    read = min(fmean(idle.reads), local)  # readers of a volume that is being written wait, which is not their own time
    handshake = setting.rtt_ms / 1e3
    for _ in range(CALIBRATIONS):
        found = Calibration(read, local, handshake, max(0.0, local - read))
        waits = predict(replace(setting, pairs=0), found).mirrored_write - local
        handshake *= (mirrored - local) / waits
    return Calibration(read, local, handshake, max(0.0, local - read))


def predict(setting: Setting, calibration: Calibration) -> Prediction:
    """What the hosts will see, and how fast is copied."""
    return _Emulated(setting, calibration).run()


def _data(setting: Setting) -> float:
    """Seconds that one record of a host takes at the link's rate."""
    return (RECORD_BYTES + BRIDGE_HEADER_LENGTH) * 8e-6 / setting.rate_mbit if setting.rate_mbit else 0.0


class _Emulated:
    """Hosts in closed loops, and what is between the systems."""

    def __init__(self, setting: Setting, calibration: Calibration) -> None:
        self.setting, self.calibration = setting, calibration
        self.environment = Environment()
        self.random = Random(setting.seed)
        self.observed = Observed()
        self.copied = 0
        used = range(len(BRIDGES) if setting.bridges else 0)
        self.bridges = [_Bridge(self, place < setting.pairs) for place in used]
        self.paths = Station(self.environment, len(PEER_PORTS["A"]))
        self.units = [Station(self.environment) for _ in DUPLEX_VOLUMES]

    def run(self) -> Prediction:
        for _ in range(self.setting.hosts):
            self.environment.process(self._host())
        if not self.setting.bridges:
            for _ in range(self.setting.pairs):
                self.environment.process(self._copy())
        self.environment.run(until=SECONDS)
        return Prediction(self.observed.mean, fmean(self.observed.mirrored_writes), self.copied / SECONDS)

    def _host(self) -> Process:
        setting, calibration, environment = self.setting, self.calibration, self.environment
        while True:
            yield Timeout(environment, self.random.expovariate(1e3 / setting.think_ms))
            mirrored = self.random.random() < setting.duplex_share
            reads = self.random.random() < setting.read_share
            volume = self.random.randrange(len(DUPLEX_VOLUMES))
            begun = environment.now
            if mirrored and (turn := self.units[volume].enter()) is not None:
                yield turn
            yield Timeout(environment, calibration.read if reads else calibration.local_write)
            if mirrored and not reads:
                yield from self._mirror(volume)
            if mirrored:
                self.units[volume].leave()
            observed = self.observed
            kept = observed.reads if reads else observed.mirrored_writes if mirrored else observed.local_writes
            kept.append(environment.now - begun)

    def _mirror(self, volume: int) -> Process:
        if self.setting.bridges:
            yield self.bridges[volume % len(self.bridges)].update()
            return
        if (turn := self.paths.enter()) is not None:
            yield turn
        handshakes = UPDATE_START + CHAINED
        yield Timeout(self.environment, handshakes * self.calibration.handshake + _data(self.setting))
        self.paths.leave()

    def _copy(self) -> Process:
        """A pending pair without bridges. Pairs are established one after the other, so chains do not march in step."""
        handshakes = UPDATE_START + PACE * CHAINED
        chain = handshakes * self.calibration.handshake + self.calibration.harden
        yield Timeout(self.environment, self.random.uniform(0.0, chain))
        while True:
            if (turn := self.paths.enter()) is not None:
                yield turn
            yield Timeout(self.environment, chain)
            self.paths.leave()
            self.copied += PACE


class _Record(NamedTuple):
    """One under way. `done`: a host waits for it; None: a copy."""

    numbered: float
    done: Event | None


class _Bridge:
    """One data bridge and its status bridge. `copying`: some pending volume is at it all the time."""

    def __init__(self, emulated: _Emulated, copying: bool) -> None:
        self.emulated = emulated
        self.environment = emulated.environment
        self.copying = copying
        self._pace = CopyPace(WINDOW_RECORDS)
        self._copies = 0  # under way
        self._updates: deque[Event] = deque()
        self._entries: deque[_Record] = deque()  # of records at the secondary
        self._wake = self.environment.event()
        self._wake_status = self.environment.event()
        self.environment.process(self._chains())
        self.environment.process(self._status())

    def update(self) -> Event:
        """Send a host's update; the event of its status."""
        done = self.environment.event()
        self._updates.append(done)
        self._pace.updated(self.environment.now)
        self._go_on()
        return done

    def _go_on(self) -> None:
        if not self._wake.triggered:
            self._wake.succeed()

    def _gathered(self) -> list[_Record]:
        """What the next chain takes: updates, and copies as far as there is room."""
        now = self.environment.now
        records: list[_Record] = []
        while self._updates and len(records) < MAX_RECORDS_PER_CHAIN:
            records.append(_Record(now, self._updates.popleft()))
        while self.copying and len(records) < MAX_RECORDS_PER_CHAIN and self._pace.room(self._copies, now):
            records.append(_Record(now, None))
            self._copies += 1
        return records

    def _chains(self) -> Process:
        handshake = self.emulated.calibration.handshake
        while True:
            records = self._gathered()
            if not records:
                self._wake = self.environment.event()
                yield self._wake
                continue
            yield Timeout(self.environment, BRIDGE_START * handshake)
            for record in records:
                data = _data(self.emulated.setting) if record.done is not None else 0.0
                yield Timeout(self.environment, (CHAINED - ARRIVES) * handshake + data)
                self.emulated.copied += record.done is None
                self._arrived(record)
                yield Timeout(self.environment, ARRIVES * handshake)

    def _arrived(self, record: _Record) -> None:
        self._entries.append(record)
        if not self._wake_status.triggered:
            self._wake_status.succeed()

    def _status(self) -> Process:
        handshake = self.emulated.calibration.handshake
        while True:
            if not self._entries:
                self._wake_status = self.environment.event()
                yield self._wake_status
            gathered = list(self._entries)
            self._entries.clear()
            packets = -(-len(gathered) // ENTRIES_PER_PACKET)
            yield Timeout(self.environment, (BRIDGE_START + packets * CHAINED - ARRIVES) * handshake)
            for record in gathered:
                self._confirmed(record)
            self._go_on()
            yield Timeout(self.environment, ARRIVES * handshake)

    def _confirmed(self, record: _Record) -> None:
        if record.done is not None:
            record.done.succeed()
        else:
            self._copies -= 1
            self._pace.confirmed(record.numbered, self.environment.now)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Measured beside predicted."""

    measurement: Measurement
    calibration: Calibration
    prediction: Prediction

    def figures(self) -> dict[str, object]:
        """As one JSON-ready object, milliseconds. Errors are predicted over measured, less one."""
        setting, idle, loaded = self.measurement.setting, self.measurement.idle, self.measurement.loaded
        mirrored, predicted = fmean(loaded.mirrored_writes), self.prediction
        return {
            "way": "bridges" if setting.bridges else "conventional",
            "pairs": setting.pairs,
            "ios": len(loaded.reads) + len(loaded.local_writes) + len(loaded.mirrored_writes),
            "mirrored_writes": len(loaded.mirrored_writes),
            "idle_read_ms": _ms(fmean(idle.reads)),
            "idle_local_write_ms": _ms(fmean(idle.local_writes)),
            "idle_mirrored_ms": _ms(fmean(idle.mirrored_writes)),
            "handshake_ms": _ms(self.calibration.handshake),
            "mirrored_ms": _ms(mirrored),
            "mirrored_predicted_ms": _ms(predicted.mirrored_write),
            "mirrored_error": round(predicted.mirrored_write / mirrored - 1, 3),
            "mean_ms": _ms(loaded.mean),
            "mean_predicted_ms": _ms(predicted.mean),
            "mean_error": round(predicted.mean / loaded.mean - 1, 3),
            "copied_per_s": round(self.measurement.copied_per_s, 1),
            "copied_predicted_per_s": round(predicted.copied_per_s, 1),
        }


def compare(measurement: Measurement) -> Comparison:
    """Predict what was measured, from what was measured before."""
    calibration = calibrate(measurement.idle, measurement.setting)
    return Comparison(measurement, calibration, predict(measurement.setting, calibration))


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 2)
