"""The numbers of the experiment, from a TOML file: for each a value, a unit, and its source.

    [links]
    count = { value = 4, unit = "links", source = "WO 01/67247, FIG. 5B" }

A file of one's own may give some of them only; the rest is as packaged. A mistake is a ConfigError of one line that
names the file, the parameter and what is wrong with it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

from controller.models.parameters import CacheParameters, DiskParameters, LinkParameters
from controller.toml_fields import ConfigError

PACKAGED = Path(__file__).with_name("parameters.toml")
ASSUMED = "assumed"
MILLISECOND = 1e-3
MEGA = 1e6
SHARES = frozenset({"read_share", "copied_share", "read_miss", "host_share_min"})
MAY_BE_ZERO = frozenset({
    "distance_km", "directors", "handshakes", "copied_share", "read_share", "read_miss", "chain_handshakes",
    "track_handshakes", "status_ms", "poll_ms", "allocate_ms", "deallocate_ms", "chain_start_ms", "chain_end_ms",
    "snapshot_ms", "status_links", "zipf_exponent", "nvs_slots", "warm_up_s",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Hosts:
    volumes: int
    rate: float
    zipf_rate: float
    zipf_exponent: float
    read_share: float
    block_bytes: int
    channels: int
    think_ms: float


@dataclass(frozen=True, slots=True)
class Links:
    count: int
    rate_mb: float
    distance_km: float
    directors: int
    handshakes: int

    def model(self) -> LinkParameters:
        """A link between the systems."""
        return LinkParameters(rate=self.rate_mb * MEGA, distance_km=self.distance_km, directors=self.directors)

    def host_model(self) -> LinkParameters:
        """A link of a host, in the same room."""
        return LinkParameters(rate=self.rate_mb * MEGA)


@dataclass(frozen=True, slots=True)
class Copy:
    pace_tracks: int
    track_bytes: int
    volume_tracks: int
    copied_share: float
    concurrent: int
    poll_ms: float
    poll_interval_ms: float


@dataclass(frozen=True, slots=True)
class Conventional:
    allocate_ms: float
    deallocate_ms: float
    chain_start_ms: float
    chain_end_ms: float
    status_ms: float


@dataclass(frozen=True, slots=True)
class Bridge:
    bridges: int
    chain_tracks: int
    chain_handshakes: int
    track_handshakes: int
    status_ms: float
    snapshot_ms: float
    status_links: int


@dataclass(frozen=True, slots=True)
class Processors:
    count: int
    chain_ms: float
    track_ms: float


@dataclass(frozen=True, slots=True)
class CacheSizes:
    slots: int
    nvs_slots: int
    read_miss: float
    host_share_min: float

    def model(self) -> CacheParameters:
        return CacheParameters(slots=self.slots, nvs_slots=self.nvs_slots)


@dataclass(frozen=True, slots=True)
class Array:
    arms: int
    seek_minimum_ms: float
    seek_average_ms: float
    rotation_ms: float
    rate_mb: float
    compression: float

    def model(self) -> DiskParameters:
        return DiskParameters(
            self.seek_minimum_ms * MILLISECOND,
            self.seek_average_ms * MILLISECOND,
            self.rotation_ms * MILLISECOND,
            self.rate_mb * MEGA,
        )


@dataclass(frozen=True, slots=True)
class Run:
    warm_up_s: float
    window_s: float
    drain_s: float


@dataclass(frozen=True, slots=True)
class Parameters:
    """All of them; a section of the file is a field."""

    hosts: Hosts
    links: Links
    copy: Copy
    conventional: Conventional
    bridge: Bridge
    processors: Processors
    cache: CacheSizes
    array: Array
    run: Run

    def value(self, name: str) -> float:
        """The value of `section.parameter`."""
        section, _, key = name.partition(".")
        found: float = getattr(getattr(self, section), key)
        return found

    def with_values(self, values: Mapping[str, float]) -> Parameters:
        """Others in place of some, by `section.parameter`. Raises ConfigError where one does not fit."""
        changed = self
        for name, value in values.items():
            section, _, key = name.partition(".")
            try:
                kind = type(getattr(getattr(self, section), key))
            except AttributeError as error:
                raise ConfigError(f"{name}: no such parameter") from error
            checked = _checked(name, key, value, kind)
            changed = replace(changed, **{section: replace(getattr(changed, section), **{key: checked})})
        _fit_together(changed)
        return changed

    def scaled(self, name: str, factor: float) -> Parameters:
        """One of them multiplied; a whole number stays one, and at least 1, a share at most 1."""
        value = self.value(name) * factor
        if name.partition(".")[2] in SHARES:
            value = min(value, 1.0)
        kind = type(self.value(name))
        return self.with_values({name: max(1, round(value)) if kind is int else value})


@dataclass(frozen=True, slots=True)
class Described:
    """One parameter of the file. `name`: section.parameter."""

    name: str
    value: float
    unit: str
    source: str

    @property
    def assumed(self) -> bool:
        return self.source.startswith(ASSUMED)


@cache
def packaged() -> tuple[Parameters, tuple[Described, ...]]:
    """The parameters that come along, and what is known of each."""
    described = _read(PACKAGED)
    sections: dict[str, Any] = {}
    for section, kind in get_type_hints(Parameters).items():
        found = {one.name.partition(".")[2]: one.value for one in described if one.name.startswith(f"{section}.")}
        wanted = get_type_hints(kind)
        if set(found) != set(wanted):
            raise ConfigError(f"{PACKAGED.name}: [{section}] needs {', '.join(sorted(set(wanted) ^ set(found)))}")
        for key in wanted:
            found[key] = _checked(f"{section}.{key}", key, found[key], wanted[key])
        sections[section] = kind(**found)
    parameters = Parameters(**sections)
    _fit_together(parameters)
    return parameters, tuple(described)


def load(path: Path | None) -> tuple[Parameters, tuple[Described, ...]]:
    """Those of a file over the packaged ones; the packaged ones without a file. Raises ConfigError."""
    parameters, described = packaged()
    if path is None:
        return parameters, described
    given = {one.name: one for one in _read(path)}
    try:
        changed = parameters.with_values({name: one.value for name, one in given.items()})
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return changed, tuple(given.get(one.name, one) for one in described)


def _read(path: Path) -> list[Described]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from error
    found = []
    for section, table in content.items():
        if not isinstance(table, dict):
            raise ConfigError(f"{path}: {section}: a table is needed")
        found += [_described(path, f"{section}.{key}", entry) for key, entry in table.items()]
    return found


def _described(path: Path, name: str, entry: object) -> Described:
    if not isinstance(entry, dict) or set(entry) != {"value", "unit", "source"}:
        raise ConfigError(f"{path}: {name}: a table of value, unit and source is needed")
    value, unit, source = entry["value"], entry["unit"], entry["source"]
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ConfigError(f"{path}: {name}: its value is not a number")
    if not isinstance(unit, str) or not isinstance(source, str) or not source:
        raise ConfigError(f"{path}: {name}: unit and source are texts, and the source is not empty")
    return Described(name, value, unit, source)


def _checked(name: str, key: str, value: float, kind: type) -> float:
    if not 0 <= value < 1e12 or (value == 0 and key not in MAY_BE_ZERO):
        raise ConfigError(f"{name}: {value} is out of range")
    if kind is int and value != int(value):
        raise ConfigError(f"{name}: {value} is not a whole number")
    if key in SHARES and value > 1:
        raise ConfigError(f"{name}: {value} is more than 1")
    return int(value) if kind is int else float(value)


def _fit_together(parameters: Parameters) -> None:
    if parameters.cache.nvs_slots > parameters.cache.slots:
        raise ConfigError("cache.nvs_slots: more than cache.slots")
    if parameters.bridge.status_links >= parameters.links.count:
        raise ConfigError("bridge.status_links: no link is left for data")
    if parameters.processors.count * parameters.copy.poll_interval_ms <= parameters.copy.poll_ms * (
        parameters.hosts.volumes
    ):
        raise ConfigError("copy.poll_ms: looking at all pairs would take all processors")


def names() -> tuple[str, ...]:
    """Every parameter, as section.parameter."""
    return tuple(
        f"{section}.{item.name}" for section, kind in get_type_hints(Parameters).items() for item in fields(kind)
    )
