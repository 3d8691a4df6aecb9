"""The settings of one storage system: a TOML file, checked whole before anything starts.

A bad file raises ConfigError: one line that names the file, the key and what is wrong with it.
"""

import ipaddress
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

PROFILES = ("3880-3", "3990-2", "3990-3", "3990-6", "9343", "2105", "2107")
FEATURES = ("prefix", "thin")
DEVICE_TYPES = ("3390", "3380", "9345", "3375", "3350", "3340", "3330", "2314", "2311", "2305")
LINK_PROTOCOLS = {"parallel": 0x80, "escon": 0x40, "ficon": 0x10}
MAX_CYLINDERS = 1_182_006
MAX_DEVICES = 32
LOOPBACK = ("127.0.0.0/8", "::1/128")
MAX_CACHE_MB = 4095  # 32 bits of bytes
MAX_DISTANCE_KM = 10_000


class ConfigError(ValueError):
    """A setting that cannot be used."""


class Address(NamedTuple):
    """Where to listen or connect. Port 0: the operating system chooses."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class VolumeConfig:
    """One volume. `image`: its content when it is first defined (a plain CKD image, gzipped or not).

    `image_in_place`: the plain CKD image, in one file, that its tracks lie in from then on (a physical volume).
    """

    address: int  # unit address, 0-255
    device_type: str
    cylinders: int
    read_only: bool = False
    image: Path | None = None
    image_in_place: Path | None = None
    control_unit: str = ""  # a profile; "": that of the system where it takes such devices, else the usual one
    sense_id: bool | None = None  # does Sense ID exist; None: as the device type has it
    seek_check: bool = False  # a bad seek shows it beside command reject, in six bytes of sense
    device_number: int = -1  # how emulated mainframes know it, and its number in the store

    @property
    def number(self) -> int:
        """The device number: the unit address where none is given."""
        return self.address if self.device_number < 0 else self.device_number


@dataclass(frozen=True, slots=True)
class PortConfig:
    """One adapter: a host port takes any number of links, a peer port is one link to the other system."""

    said: int
    kind: str  # "host" or "peer"
    listen: Address | None = None
    connect: Address | None = None


@dataclass(frozen=True, slots=True)
class SharedConfig:
    """The server for emulated mainframes. `allow`: networks of its clients; 0 s: a silent client is kept for ever."""

    listen: Address
    allow: tuple[str, ...] = LOOPBACK
    clients_max: int = 64  # for each device
    connections_max: int = 4096
    idle_timeout_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The modelled hardware. `cache_mb`, `nvs_mb`: hosts are told of them when they are given.

    `pace`: answers wait until the hardware of the period would have given them.
    """

    cache_mb: int | None = None
    nvs_mb: int | None = None
    distance_km: int = 0
    pace: bool = False


@dataclass(frozen=True, slots=True)
class ManagementConfig:
    """The HTTP server for operators. `token_file`: who knows what is in it may change things; made if absent."""

    listen: Address
    token_file: Path | None = None  # None: beside the store


@dataclass(frozen=True, slots=True)
class ScheduleConfig:
    """Snapshots by the clock. `every`: hourly or daily; `keep`: how many; no `devices`: all volumes."""

    every: str
    keep: int
    devices: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SystemConfig:
    """One storage system: one box with one control-unit image.

    `store`: the directory of the track store, and of the event log. With `devices` the tracks lie on a parity array
    instead: one directory for each device, in order, any `parity` of which may be lost. `capacity_bytes`: what the
    array's log may take; None: all that its medium has.
    """

    name: str
    serial: str  # 12 characters
    ssid: int
    lss: int
    profile: str
    store: Path
    volumes: tuple[VolumeConfig, ...]
    ports: tuple[PortConfig, ...]
    manufacturer: str = "HRC"
    plant: str = "ZZ"
    interface_id: int = 1
    link_protocol: int = 0x40
    pprc: bool = True
    devices: tuple[Path, ...] = ()
    parity: int = 0
    capacity_bytes: int | None = None
    shared: SharedConfig | None = None
    management: ManagementConfig | None = None
    schedules: tuple[ScheduleConfig, ...] = ()
    features: frozenset[str] = frozenset()
    model: ModelConfig | None = field(default_factory=ModelConfig)


SYSTEM_KEYS = {
    "name", "serial", "ssid", "lss", "profile", "store", "manufacturer", "plant", "interface_id", "link_protocol",
    "capacity_mb", "pprc", "features", "volume", "port", "management", "shared_dasd", "model", "schedule",
}  # fmt: skip
CAPACITY_MB_MIN = 512  # 16 segments: fewer leave collection too little room to work in
STORE_KEYS = {"directory", "devices", "parity"}
VOLUME_KEYS = {
    "address", "type", "cylinders", "read_only", "image", "image_in_place", "control_unit", "device_number",
    "sense_id", "seek_check",
}  # fmt: skip
SHARED_KEYS = {"listen", "allow", "clients_per_device", "connections", "idle_timeout_s"}
MODEL_KEYS = {"enabled", "cache_mb", "nvs_mb", "distance_km", "pace"}
PORT_KEYS = {"said", "kind", "listen", "connect"}


def load_config(path: Path) -> SystemConfig:
    """Read and check a configuration file. Paths in it are relative to the file. Raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    try:
        return check_config(tomllib.loads(text), path.parent)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def check_config(table: dict[str, Any], base: Path) -> SystemConfig:
    """The settings of a parsed file. Raises ConfigError."""
    _only(table, SYSTEM_KEYS, "")
    volumes = tuple(_volume(entry, f"volume[{index}]", base) for index, entry in _tables(table, "volume"))
    ports = tuple(_port(entry, f"port[{index}]") for index, entry in _tables(table, "port"))
    if not volumes:
        raise ConfigError("volume: at least one is needed")
    _unique([volume.address for volume in volumes], "volume", "address")
    _unique([volume.number for volume in volumes], "volume", "device_number")
    _unique([port.said for port in ports], "port", "said")
    store, devices, parity = _store(table)
    protocol = _text(table, "link_protocol", "", default="escon")
    return SystemConfig(
        name=_text(table, "name", ""),
        serial=_serial(table),
        ssid=_hex(table, "ssid", "", 0x0001, 0xFFFF),
        lss=_hex(table, "lss", "", 0, 0xFF, default=0),
        profile=_one_of(_text(table, "profile", "", default="3990-6"), PROFILES, "profile"),
        store=base / store,
        volumes=volumes,
        ports=ports,
        manufacturer=_fixed(table, "manufacturer", 3, "HRC"),
        plant=_fixed(table, "plant", 2, "ZZ"),
        interface_id=_hex(table, "interface_id", "", 0, 0xFFFF, default=1),
        link_protocol=LINK_PROTOCOLS[_one_of(protocol, tuple(LINK_PROTOCOLS), "link_protocol")],
        pprc=_flag(table, "pprc", "", default=True),
        devices=tuple(base / device for device in devices),
        parity=parity,
        capacity_bytes=_capacity(table),
        shared=_shared(table),
        management=_management(table, base),
        schedules=tuple(_schedule(entry, f"schedule[{index}]", volumes) for index, entry in _tables(table, "schedule")),
        features=_features(table),
        model=_model(table.get("model", {})),
    )


def _capacity(table: dict[str, Any]) -> int | None:
    """`capacity_mb`, in bytes."""
    megabytes = table.get("capacity_mb")
    if megabytes is None:
        return None
    if isinstance(megabytes, bool) or not isinstance(megabytes, int) or megabytes < CAPACITY_MB_MIN:
        raise ConfigError(f"capacity_mb: a number of at least {CAPACITY_MB_MIN} is needed")
    return megabytes << 20


def _store(table: dict[str, Any]) -> tuple[str, list[str], int]:
    """The store's directory; and the devices and parity of a parity array, when it is written as a table."""
    store = table.get("store")
    if not isinstance(store, dict):
        return _text(table, "store", ""), [], 0
    _only(store, STORE_KEYS, "store")
    devices, parity = store.get("devices"), store.get("parity", 1)
    if not isinstance(devices, list) or not all(isinstance(device, str) and device for device in devices):
        raise ConfigError('store.devices: a list of directories is needed, ["one", "two", "three"]')
    if isinstance(parity, bool) or parity not in (1, 2):
        raise ConfigError("store.parity: 1 or 2 is needed: how many devices may be lost")
    if not 2 * parity + 1 <= len(devices) <= MAX_DEVICES:
        raise ConfigError(
            f"store.devices: parity {parity} needs {2 * parity + 1} to {MAX_DEVICES} devices, here are {len(devices)}"
        )
    for index, device in enumerate(devices):
        if device in devices[:index]:
            raise ConfigError(f"store.devices[{index}]: {device} is used twice")
    return _text(store, "directory", "store"), devices, parity


def _features(table: dict[str, Any]) -> frozenset[str]:
    """What the feature codes announce: Prefix ("prefix"); "thin": hosts may ask about space."""
    names = table.get("features", [])
    if not isinstance(names, list):
        raise ConfigError("features: a list of texts is needed")
    return frozenset(_one_of(name, FEATURES, "features") for name in names)


def _volume(table: dict[str, Any], where: str, base: Path) -> VolumeConfig:
    _only(table, VOLUME_KEYS, where)
    cylinders = table.get("cylinders")
    if not isinstance(cylinders, int) or isinstance(cylinders, bool) or not 1 <= cylinders <= MAX_CYLINDERS:
        raise ConfigError(f"{where}.cylinders: a number from 1 to {MAX_CYLINDERS} is needed")
    image = _text(table, "image", where, default="")
    in_place = _text(table, "image_in_place", where, default="")
    if image and in_place:
        raise ConfigError(f"{where}.image_in_place: the volume has an image to be imported as well")
    return VolumeConfig(
        address=_hex(table, "address", where, 0, 0xFF),
        device_type=_one_of(_text(table, "type", where, default="3390"), DEVICE_TYPES, f"{where}.type"),
        cylinders=cylinders,
        read_only=_flag(table, "read_only", where, default=False),
        image=base / image if image else None,
        image_in_place=base / in_place if in_place else None,
        control_unit=_text(table, "control_unit", where, default=""),
        sense_id=_flag(table, "sense_id", where, default=False) if "sense_id" in table else None,
        seek_check=_flag(table, "seek_check", where, default=False),
        device_number=_hex(table, "device_number", where, 0, 0xFFFF, default=-1),
    )


def _shared(table: dict[str, Any]) -> SharedConfig | None:
    if "shared_dasd" not in table:
        return None
    entry = table["shared_dasd"]
    if not isinstance(entry, dict):
        raise ConfigError("shared_dasd: written as a [shared_dasd] table")
    where = "shared_dasd"
    _only(entry, SHARED_KEYS, where)
    listen = _address(entry, "listen", where)
    if listen is None:
        raise ConfigError(f"{where}.listen: host:port is needed")
    return SharedConfig(
        listen,
        _networks(entry, "allow", where),
        _count(entry, "clients_per_device", where, 64, 1, 0xFFFE),
        _count(entry, "connections", where, 4096, 1, 65536),
        float(_count(entry, "idle_timeout_s", where, 0, 0, 86_400 * 365)),
    )


def _management(table: dict[str, Any], base: Path) -> ManagementConfig | None:
    if "management" not in table:
        return None
    entry = table["management"]
    if not isinstance(entry, dict):
        raise ConfigError("management: written as a [management] table")
    where = "management"
    _only(entry, {"listen", "token_file"}, where)
    listen = _address(entry, "listen", where)
    if listen is None:
        raise ConfigError(f"{where}.listen: host:port is needed")
    token_file = _text(entry, "token_file", where, default="")
    return ManagementConfig(listen, base / token_file if token_file else None)


def _schedule(table: dict[str, Any], where: str, volumes: tuple[VolumeConfig, ...]) -> ScheduleConfig:
    _only(table, {"every", "keep", "devices"}, where)
    devices = table.get("devices", [])
    known = {f"{volume.number:04X}": volume.number for volume in volumes}
    if not isinstance(devices, list) or not all(isinstance(device, str) for device in devices):
        raise ConfigError(f'{_at(where, "devices")}: a list of device numbers is needed, ["0123"]')
    for device in devices:
        if device.upper().rjust(4, "0") not in known:
            raise ConfigError(f"{_at(where, 'devices')}: {device!r} is none of {', '.join(known)}")
    return ScheduleConfig(
        every=_one_of(_text(table, "every", where), ("hourly", "daily"), f"{where}.every"),
        keep=_count(table, "keep", where, 0, 1, 10_000),
        devices=tuple(known[device.upper().rjust(4, "0")] for device in devices),
    )


def _networks(table: dict[str, Any], key: str, where: str) -> tuple[str, ...]:
    entries = table.get(key, list(LOOPBACK))
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, str) for entry in entries):
        raise ConfigError(f"{_at(where, key)}: a list of addresses or networks is needed")
    return networks(entries, _at(where, key))


def networks(entries: Sequence[str], where: str) -> tuple[str, ...]:
    """Addresses or networks, checked. Raises ConfigError."""
    for entry in entries:
        try:
            ipaddress.ip_network(entry)
        except ValueError as error:
            raise ConfigError(f"{where}: {error}") from error
    return tuple(entries)


def _count(table: dict[str, Any], key: str, where: str, default: int, low: int, high: int) -> int:
    value = table.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ConfigError(f"{_at(where, key)}: a number from {low} to {high} is needed")
    return value


def _port(table: dict[str, Any], where: str) -> PortConfig:
    _only(table, PORT_KEYS, where)
    kind = _one_of(_text(table, "kind", where), ("host", "peer"), f"{where}.kind")
    listen = _address(table, "listen", where)
    connect = _address(table, "connect", where)
    if (listen is None) == (connect is None):
        raise ConfigError(f"{where}: either listen or connect is needed")
    if kind == "host" and listen is None:
        raise ConfigError(f"{where}.listen: a host port listens")
    if connect is not None and connect.port == 0:
        raise ConfigError(f"{where}.connect: port 0 cannot be connected to")
    return PortConfig(_hex(table, "said", where, 0, 0xFFFF), kind, listen, connect)


def _model(table: Any) -> ModelConfig | None:
    if not isinstance(table, dict):
        raise ConfigError("model: written as a [model] table")
    _only(table, MODEL_KEYS, "model")
    if not _flag(table, "enabled", "model", default=True):
        return None
    config = ModelConfig(
        cache_mb=_number(table, "cache_mb", "model", 1, MAX_CACHE_MB, None),
        nvs_mb=_number(table, "nvs_mb", "model", 0, MAX_CACHE_MB, None),
        distance_km=_number(table, "distance_km", "model", 0, MAX_DISTANCE_KM, 0) or 0,
        pace=_flag(table, "pace", "model", default=False),
    )
    if config.cache_mb is not None and (config.nvs_mb or 0) > config.cache_mb:
        raise ConfigError("model.nvs_mb: no more than cache_mb")
    return config


def _number(table: dict[str, Any], key: str, where: str, low: int, high: int, default: int | None) -> int | None:
    value = table.get(key, default)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high):
        raise ConfigError(f"{_at(where, key)}: a number from {low} to {high} is needed")
    return value


def _tables(table: dict[str, Any], key: str) -> list[tuple[int, dict[str, Any]]]:
    entries = table.get(key, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigError(f"{key}: written as [[{key}]] tables")
    return list(enumerate(entries))


def _only(table: dict[str, Any], known: set[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise ConfigError(f"{_at(where, key)}: no such setting (known: {', '.join(sorted(known))})")


def _unique(values: list[int], where: str, key: str) -> None:
    for index, value in enumerate(values):
        if value in values[:index]:
            raise ConfigError(f"{where}[{index}].{key}: {value:02X} is used twice")


def _at(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _text(table: dict[str, Any], key: str, where: str, default: str | None = None) -> str:
    value = table.get(key, default)
    if not isinstance(value, str) or (default is None and not value):
        raise ConfigError(f"{_at(where, key)}: a text is needed")
    return value


def _flag(table: dict[str, Any], key: str, where: str, default: bool) -> bool:
    value = table.get(key, default)
    if not isinstance(value, bool):
        raise ConfigError(f"{_at(where, key)}: true or false is needed")
    return value


def _hex(table: dict[str, Any], key: str, where: str, low: int, high: int, default: int | None = None) -> int:
    value = table.get(key)
    if value is None and default is not None:
        return default
    try:
        number = int(value, 16) if isinstance(value, str) else -1
    except ValueError:
        number = -1
    if not low <= number <= high:
        raise ConfigError(f'{_at(where, key)}: hexadecimal digits in quotes are needed, "{low:X}" to "{high:X}"')
    return number


def _one_of(value: str, allowed: tuple[str, ...], where: str) -> str:
    if value not in allowed:
        raise ConfigError(f"{where}: {value!r} is not one of {', '.join(allowed)}")
    return value


def _serial(table: dict[str, Any]) -> str:
    serial = _text(table, "serial", "")
    if not (len(serial) <= 12 and serial.isascii() and serial.isalnum() and serial == serial.upper()):
        raise ConfigError("serial: up to 12 digits or capital letters are needed")
    return serial.rjust(12, "0")


def _fixed(table: dict[str, Any], key: str, length: int, default: str) -> str:
    value = _text(table, key, "", default=default)
    if len(value) != length or not value.isascii():
        raise ConfigError(f"{key}: {length} characters are needed")
    return value


def _address(table: dict[str, Any], key: str, where: str) -> Address | None:
    if key not in table:
        return None
    text = _text(table, key, where)
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 0xFFFF:
        raise ConfigError(f"{_at(where, key)}: {text!r} is not host:port")
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError as error:
        if host != "localhost":
            raise ConfigError(f"{_at(where, key)}: {host!r} is not an IP address or localhost") from error
    return Address(host.strip("[]"), int(port))
