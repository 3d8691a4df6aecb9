"""Every number of the models, in one place, each with where it comes from.

Times are seconds, rates bytes per second, lengths bytes, distances kilometres. Published: figures that manuals,
planning guides or papers of the period print. Assumed: nobody published them for this machine; they are to be varied.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ccw import escon

MILLISECOND = 1e-3
MICROSECOND = 1e-6


@dataclass(frozen=True, slots=True)
class LinkParameters:
    """One ESCON link."""

    rate: float = 17e6
    """Source: published, ESCON planning figures: 17 MB/s of data over a 200 Mbit/s link."""

    delay_per_km: float = 5 * MICROSECOND
    """One way. Source: published, the speed of light in fibre."""

    distance_km: float = 0.0
    """Source: of the configuration."""

    directors: int = 0
    """Switches that every frame passes. Source: of the configuration."""

    director_delay: float = 1.5 * MICROSECOND
    """Of a frame in one switch. Source: assumed."""

    turnaround: float = 15 * MICROSECOND
    """From a frame's end to the answer's start, at either end.

    Source: assumed; the connect time of a 4-KiB read is then the 0.45 ms that the published experiment assumes.
    """

    data_block: int = escon.data_block_length(escon.DIB_CODE_ESCON)
    """Largest data block of a frame. Source: ccw.escon."""

    frame_overhead: int = escon.LINK_HEADER_LENGTH + escon.DEVICE_HEADER_LENGTH + escon.LINK_TRAILER_LENGTH + 4
    """Header, device header, CRC, and two delimiters of two characters. Source: ccw.escon; delimiters assumed."""

    control_frame: int = 12
    """Device-information block of a command, status or control frame. Source: ccw.frames, the longest of them."""


@dataclass(frozen=True, slots=True)
class ProcessorParameters:
    """The control unit's processors."""

    count: int = 8
    """Source: the patent, FIG. 2, processors 210 to 224."""

    per_chain: float = 0.15 * MILLISECOND
    """Source: assumed, base value of the experiment."""

    per_track: float = 0.10 * MILLISECOND
    """For staging, destaging or copying a track. Source: assumed, base value of the experiment."""


@dataclass(frozen=True, slots=True)
class CacheParameters:
    """Cache and nonvolatile storage, in slots of one track."""

    slots: int = 26_500
    """Source: assumed, base value of the experiment: 1.5 GB of 56,664-byte tracks."""

    nvs_slots: int = 560
    """Source: assumed: 32 MB of nonvolatile storage."""

    prestage_tracks: int = 2
    """Tracks staged ahead of a sequential reader. Source: assumed; the manuals say "several tracks"."""

    destage_above: float = 0.7
    """Share of the nonvolatile storage at which destaging begins. Source: assumed."""

    destage_below: float = 0.5
    """Share at which it stops. Source: assumed."""

    slot_bytes: int = 56_664
    """Source: published, track capacity of a 3390."""


@dataclass(frozen=True, slots=True)
class DiskParameters:
    """One kind of disk drive. Seek times: to the next cylinder, averaged over random pairs of cylinders."""

    seek_minimum: float
    seek_average: float
    rotation: float
    rate: float

    @property
    def latency(self) -> float:
        """Half a rotation: how long the data are waited for on average."""
        return self.rotation / 2


def _disk(minimum_ms: float, average_ms: float, rotation_ms: float, rate: float) -> DiskParameters:
    return DiskParameters(minimum_ms * MILLISECOND, average_ms * MILLISECOND, rotation_ms * MILLISECOND, rate)


# Source: product figures of the manufacturer as commonly quoted; assumed as far as no manual was at hand.
DISKS: dict[int, DiskParameters] = {
    0x3390: _disk(1.5, 9.5, 14.1, 4.2e6),
    0x9345: _disk(1.5, 10.0, 11.1, 4.4e6),
    0x3380: _disk(2.0, 16.0, 16.6, 3.0e6),
    0x3375: _disk(4.0, 19.0, 20.2, 1.859e6),
    0x3350: _disk(10.0, 25.0, 16.7, 1.198e6),
    0x3340: _disk(10.0, 25.0, 20.2, 0.885e6),
    0x3330: _disk(10.0, 30.0, 16.7, 0.806e6),
    0x2314: _disk(25.0, 60.0, 25.0, 0.312e6),
    0x2311: _disk(25.0, 75.0, 25.0, 0.156e6),
    0x2305: _disk(0.0, 0.0, 10.0, 1.5e6),
}


@dataclass(frozen=True, slots=True)
class ModelParameters:
    """All of them."""

    link: LinkParameters = field(default_factory=LinkParameters)
    processors: ProcessorParameters = field(default_factory=ProcessorParameters)
    cache: CacheParameters = field(default_factory=CacheParameters)
