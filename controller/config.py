"""The settings of one storage system: a TOML file, checked whole before anything starts.

A bad file raises ConfigError: one line that names the file, the key and what is wrong with it.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from controller import toml_fields as fields
from controller.copy_config import COPY_KEYS, copy_settings
from controller.port_config import PortConfig, ShapeConfig, TlsConfig, read_port
from controller.remote_copy.settings import CopySettings
from controller.toml_fields import LOOPBACK, Address, ConfigError, networks

__all__ = [
    "LOOPBACK", "Address", "ConfigError", "ManagementConfig", "ModelConfig", "PortConfig", "ScheduleConfig",
    "ShapeConfig", "SharedConfig", "SystemConfig", "TlsConfig",
    "VolumeConfig", "check_config", "load_config", "networks",
]  # fmt: skip

PROFILES = ("3880-3", "3990-2", "3990-3", "3990-6", "9343", "2105", "2107")
FEATURES = ("prefix", "thin")
ALIAS_PROFILES = ("2105", "2107")
DEVICE_TYPES = ("3390", "3380", "9345", "3375", "3350", "3340", "3330", "2314", "2311", "2305")
MODES = ("bridge", "conventional")
LINK_PROTOCOLS = {"parallel": 0x80, "escon": 0x40, "ficon": 0x10}
MAX_CYLINDERS = 1_182_006
MAX_DEVICES = 32
MAX_CACHE_MB = 4095  # 32 bits of bytes
MAX_DISTANCE_KM = 10_000


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
    thin: bool = False  # hosts may ask about its space and give it back, as with the feature "thin" for all volumes
    aliases: tuple[int, ...] = ()  # unit addresses by which hosts reach its tracks besides (parallel access volumes)
    device_number: int = -1  # how emulated mainframes know it, and its number in the store

    @property
    def number(self) -> int:
        """The device number: the unit address where none is given."""
        return self.address if self.device_number < 0 else self.device_number


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
    mode: str = "bridge"  # how pairs are mirrored: one of MODES
    devices: tuple[Path, ...] = ()
    parity: int = 0
    capacity_bytes: int | None = None
    shared: SharedConfig | None = None
    management: ManagementConfig | None = None
    schedules: tuple[ScheduleConfig, ...] = ()
    features: frozenset[str] = frozenset()
    model: ModelConfig | None = field(default_factory=ModelConfig)
    copy: CopySettings = field(default_factory=CopySettings)


SYSTEM_KEYS = {
    "name", "serial", "ssid", "lss", "profile", "store", "manufacturer", "plant", "interface_id", "link_protocol",
    "capacity_mb", "pprc", "mode", "features", "volume", "port", "management", "shared_dasd", "model", "schedule",
    *COPY_KEYS,
}  # fmt: skip
CAPACITY_MB_MIN = 512  # 16 segments: fewer leave collection too little room to work in
STORE_KEYS = {"directory", "devices", "parity"}
VOLUME_KEYS = {
    "address", "type", "cylinders", "read_only", "image", "image_in_place", "control_unit", "device_number",
    "sense_id", "seek_check", "thin", "aliases",
}  # fmt: skip
SHARED_KEYS = {"listen", "allow", "clients_per_device", "connections", "idle_timeout_s"}
MODEL_KEYS = {"enabled", "cache_mb", "nvs_mb", "distance_km", "pace"}


def load_config(path: Path) -> SystemConfig:
    """Read and check a configuration file. Paths in it are relative to the file. Raises ConfigError."""
    return fields.load(path, lambda table: check_config(table, path.parent))


def check_config(table: dict[str, Any], base: Path) -> SystemConfig:
    """The settings of a parsed file. Raises ConfigError."""
    fields.only(table, SYSTEM_KEYS, "")
    volumes = tuple(_volume(entry, f"volume[{index}]", base) for index, entry in fields.tables(table, "volume"))
    ports = tuple(read_port(entry, f"port[{index}]", base) for index, entry in fields.tables(table, "port"))
    if not volumes:
        raise ConfigError("volume: at least one is needed")
    fields.unique([volume.address for volume in volumes], "volume", "address")
    fields.unique([volume.number for volume in volumes], "volume", "device_number")
    fields.unique([port.said for port in ports], "port", "said")
    profile = fields.one_of(fields.text(table, "profile", "", default="3990-6"), PROFILES, "profile")
    _check_aliases(volumes, profile)
    store, devices, parity = _store(table)
    protocol = fields.text(table, "link_protocol", "", default="escon")
    return SystemConfig(
        name=fields.text(table, "name", ""),
        serial=fields.serial(table),
        ssid=fields.hexadecimal(table, "ssid", "", 0x0001, 0xFFFF),
        lss=fields.hexadecimal(table, "lss", "", 0, 0xFF, default=0),
        profile=profile,
        store=base / store,
        volumes=volumes,
        ports=ports,
        manufacturer=fields.fixed(table, "manufacturer", 3, "HRC"),
        plant=fields.fixed(table, "plant", 2, "ZZ"),
        interface_id=fields.hexadecimal(table, "interface_id", "", 0, 0xFFFF, default=1),
        link_protocol=LINK_PROTOCOLS[fields.one_of(protocol, tuple(LINK_PROTOCOLS), "link_protocol")],
        pprc=fields.flag(table, "pprc", "", default=True),
        mode=fields.one_of(fields.text(table, "mode", "", default="bridge"), MODES, "mode"),
        devices=tuple(base / device for device in devices),
        parity=parity,
        capacity_bytes=_capacity(table),
        shared=_shared(table),
        management=_management(table, base),
        schedules=tuple(
            _schedule(entry, f"schedule[{index}]", volumes) for index, entry in fields.tables(table, "schedule")
        ),
        features=_features(table),
        model=_model(table.get("model", {})),
        copy=copy_settings(
            table,
            {volume.address for volume in volumes},
            {port.said for port in ports if port.kind == "peer"},
        ),
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
        return fields.text(table, "store", ""), [], 0
    fields.only(store, STORE_KEYS, "store")
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
    return fields.text(store, "directory", "store"), devices, parity


def _features(table: dict[str, Any]) -> frozenset[str]:
    """What the feature codes announce: Prefix ("prefix"); "thin": hosts may ask about space, and give it back."""
    names = table.get("features", [])
    if not isinstance(names, list):
        raise ConfigError("features: a list of texts is needed")
    return frozenset(fields.one_of(name, FEATURES, "features") for name in names)


def _volume(table: dict[str, Any], where: str, base: Path) -> VolumeConfig:
    fields.only(table, VOLUME_KEYS, where)
    cylinders = table.get("cylinders")
    if not isinstance(cylinders, int) or isinstance(cylinders, bool) or not 1 <= cylinders <= MAX_CYLINDERS:
        raise ConfigError(f"{where}.cylinders: a number from 1 to {MAX_CYLINDERS} is needed")
    image = fields.text(table, "image", where, default="")
    in_place = fields.text(table, "image_in_place", where, default="")
    if image and in_place:
        raise ConfigError(f"{where}.image_in_place: the volume has an image to be imported as well")
    return VolumeConfig(
        address=fields.hexadecimal(table, "address", where, 0, 0xFF),
        device_type=fields.one_of(fields.text(table, "type", where, default="3390"), DEVICE_TYPES, f"{where}.type"),
        cylinders=cylinders,
        read_only=fields.flag(table, "read_only", where, default=False),
        image=base / image if image else None,
        image_in_place=base / in_place if in_place else None,
        control_unit=fields.text(table, "control_unit", where, default=""),
        sense_id=fields.flag(table, "sense_id", where, default=False) if "sense_id" in table else None,
        seek_check=fields.flag(table, "seek_check", where, default=False),
        thin=fields.flag(table, "thin", where, default=False),
        aliases=_aliases(table, where),
        device_number=fields.hexadecimal(table, "device_number", where, 0, 0xFFFF, default=-1),
    )


def _aliases(table: dict[str, Any], where: str) -> tuple[int, ...]:
    """`aliases = ["F0", "F1"]`."""
    listed = table.get("aliases", [])
    if not isinstance(listed, list):
        raise ConfigError(f'{where}.aliases: a list of unit addresses is needed, ["F0", "F1"]')
    return tuple(
        fields.hexadecimal({f"aliases[{index}]": text}, f"aliases[{index}]", where, 0, 0xFF)
        for index, text in enumerate(listed)
    )


def _check_aliases(volumes: tuple[VolumeConfig, ...], profile: str) -> None:
    """Aliases have addresses of their own, behind a control unit that knows them. Raises ConfigError."""
    taken = {volume.address: f"volume {volume.address:02X}" for volume in volumes}
    for index, volume in enumerate(volumes):
        unit = volume.control_unit or profile
        if volume.aliases and unit not in ALIAS_PROFILES:
            known = " and a ".join(ALIAS_PROFILES)
            raise ConfigError(f"volume[{index}].aliases: a {unit} has none, only a {known}")
        for alias in volume.aliases:
            if alias in taken:
                raise ConfigError(f"volume[{index}].aliases: {alias:02X} is {taken[alias]} already")
            taken[alias] = f"an alias of volume {volume.address:02X}"


def _shared(table: dict[str, Any]) -> SharedConfig | None:
    if "shared_dasd" not in table:
        return None
    entry = table["shared_dasd"]
    if not isinstance(entry, dict):
        raise ConfigError("shared_dasd: written as a [shared_dasd] table")
    where = "shared_dasd"
    fields.only(entry, SHARED_KEYS, where)
    listen = fields.address(entry, "listen", where)
    if listen is None:
        raise ConfigError(f"{where}.listen: host:port is needed")
    return SharedConfig(
        listen,
        fields.networks_of(entry, "allow", where),
        fields.count(entry, "clients_per_device", where, 64, 1, 0xFFFE),
        fields.count(entry, "connections", where, 4096, 1, 65536),
        float(fields.count(entry, "idle_timeout_s", where, 0, 0, 86_400 * 365)),
    )


def _management(table: dict[str, Any], base: Path) -> ManagementConfig | None:
    if "management" not in table:
        return None
    entry = table["management"]
    if not isinstance(entry, dict):
        raise ConfigError("management: written as a [management] table")
    where = "management"
    fields.only(entry, {"listen", "token_file"}, where)
    listen = fields.address(entry, "listen", where)
    if listen is None:
        raise ConfigError(f"{where}.listen: host:port is needed")
    token_file = fields.text(entry, "token_file", where, default="")
    return ManagementConfig(listen, base / token_file if token_file else None)


def _schedule(table: dict[str, Any], where: str, volumes: tuple[VolumeConfig, ...]) -> ScheduleConfig:
    fields.only(table, {"every", "keep", "devices"}, where)
    devices = table.get("devices", [])
    known = {f"{volume.number:04X}": volume.number for volume in volumes}
    if not isinstance(devices, list) or not all(isinstance(device, str) for device in devices):
        raise ConfigError(f'{fields.at(where, "devices")}: a list of device numbers is needed, ["0123"]')
    for device in devices:
        if device.upper().rjust(4, "0") not in known:
            raise ConfigError(f"{fields.at(where, 'devices')}: {device!r} is none of {', '.join(known)}")
    return ScheduleConfig(
        every=fields.one_of(fields.text(table, "every", where), ("hourly", "daily"), f"{where}.every"),
        keep=fields.count(table, "keep", where, 0, 1, 10_000),
        devices=tuple(known[device.upper().rjust(4, "0")] for device in devices),
    )


def _model(table: Any) -> ModelConfig | None:
    if not isinstance(table, dict):
        raise ConfigError("model: written as a [model] table")
    fields.only(table, MODEL_KEYS, "model")
    if not fields.flag(table, "enabled", "model", default=True):
        return None
    config = ModelConfig(
        cache_mb=fields.number(table, "cache_mb", "model", 1, MAX_CACHE_MB, None),
        nvs_mb=fields.number(table, "nvs_mb", "model", 0, MAX_CACHE_MB, None),
        distance_km=fields.number(table, "distance_km", "model", 0, MAX_DISTANCE_KM, 0) or 0,
        pace=fields.flag(table, "pace", "model", default=False),
    )
    if config.cache_mb is not None and (config.nvs_mb or 0) > config.cache_mb:
        raise ConfigError("model.nvs_mb: no more than cache_mb")
    return config
