"""Reading the fields of a TOML table: each function takes one, checks it, and says in one line what is wrong with it.

`where` is the name of the table in the file, "" for the top: "volume[2]" gives "volume[2].cylinders: a number ...".
"""

import ipaddress
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

Checked = TypeVar("Checked")
LOOPBACK = ("127.0.0.0/8", "::1/128")


class ConfigError(ValueError):
    """A setting that cannot be used."""


class Address(NamedTuple):
    """Where to listen or connect. Port 0: the operating system chooses."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def load(path: Path, check: Callable[[dict[str, Any]], Checked]) -> Checked:
    """Read a TOML file, and what `check` makes of it. Raises ConfigError: the file, what is wrong, and where."""
    try:
        written = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    try:
        return check(tomllib.loads(written))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def networks_of(table: dict[str, Any], key: str, where: str) -> tuple[str, ...]:
    """A list of addresses or networks; loopback where there is none. Raises ConfigError."""
    entries = table.get(key, list(LOOPBACK))
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, str) for entry in entries):
        raise ConfigError(f"{at(where, key)}: a list of addresses or networks is needed")
    return networks(entries, at(where, key))


def networks(entries: Sequence[str], where: str) -> tuple[str, ...]:
    """Addresses or networks, checked. Raises ConfigError."""
    for entry in entries:
        try:
            ipaddress.ip_network(entry)
        except ValueError as error:
            raise ConfigError(f"{where}: {error}") from error
    return tuple(entries)


def count(table: dict[str, Any], key: str, where: str, default: int, low: int, high: int) -> int:
    """A number, `default` where there is none. Raises ConfigError."""
    value = table.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ConfigError(f"{at(where, key)}: a number from {low} to {high} is needed")
    return value


def number(table: dict[str, Any], key: str, where: str, low: int, high: int, default: int | None) -> int | None:
    """A number, or what `default` is where there is none. Raises ConfigError."""
    value = table.get(key, default)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high):
        raise ConfigError(f"{at(where, key)}: a number from {low} to {high} is needed")
    return value


def quantity(table: dict[str, Any], key: str, where: str, high: float) -> float:
    """A number from 0 to `high`, not necessarily whole; 0 where there is none. Raises ConfigError."""
    value = table.get(key, 0.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= high:
        raise ConfigError(f"{at(where, key)}: a number from 0 to {high:g} is needed")
    return float(value)


def tables(table: dict[str, Any], key: str) -> list[tuple[int, dict[str, Any]]]:
    """The tables of an array, with their index. Raises ConfigError."""
    entries = table.get(key, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigError(f"{key}: written as [[{key}]] tables")
    return list(enumerate(entries))


def only(table: dict[str, Any], known: set[str], where: str) -> None:
    """Refuse a key that is not known. Raises ConfigError."""
    for key in table:
        if key not in known:
            raise ConfigError(f"{at(where, key)}: no such setting (known: {', '.join(sorted(known))})")


def unique(values: list[int], where: str, key: str) -> None:
    """Refuse a value that is there twice. Raises ConfigError."""
    for index, value in enumerate(values):
        if value in values[:index]:
            raise ConfigError(f"{where}[{index}].{key}: {value:02X} is used twice")


def at(where: str, key: str) -> str:
    """The name of a setting: where it is, and its key."""
    return f"{where}.{key}" if where else key


def text(table: dict[str, Any], key: str, where: str, default: str | None = None) -> str:
    """A text; without `default` it must be there. Raises ConfigError."""
    value = table.get(key, default)
    if not isinstance(value, str) or (default is None and not value):
        raise ConfigError(f"{at(where, key)}: a text is needed")
    return value


def flag(table: dict[str, Any], key: str, where: str, default: bool) -> bool:
    """True or false. Raises ConfigError."""
    value = table.get(key, default)
    if not isinstance(value, bool):
        raise ConfigError(f"{at(where, key)}: true or false is needed")
    return value


def hexadecimal(table: dict[str, Any], key: str, where: str, low: int, high: int, default: int | None = None) -> int:
    """A number in hexadecimal digits, written as text. Raises ConfigError."""
    value = table.get(key)
    if value is None and default is not None:
        return default
    try:
        found = int(value, 16) if isinstance(value, str) else -1
    except ValueError:
        found = -1
    if not low <= found <= high:
        raise ConfigError(f'{at(where, key)}: hexadecimal digits in quotes are needed, "{low:X}" to "{high:X}"')
    return found


def serial(table: dict[str, Any]) -> str:
    """`serial`: 12 characters, zeros before what is given. Raises ConfigError."""
    given = text(table, "serial", "")
    if not (len(given) <= 12 and given.isascii() and given.isalnum() and given == given.upper()):
        raise ConfigError("serial: up to 12 digits or capital letters are needed")
    return given.rjust(12, "0")


def one_of(value: str, allowed: tuple[str, ...], where: str) -> str:
    """A text that is one of these. Raises ConfigError."""
    if value not in allowed:
        raise ConfigError(f"{where}: {value!r} is not one of {', '.join(allowed)}")
    return value


def fixed(table: dict[str, Any], key: str, length: int, default: str) -> str:
    """A text of exactly `length` ASCII characters. Raises ConfigError."""
    value = text(table, key, "", default=default)
    if len(value) != length or not value.isascii():
        raise ConfigError(f"{key}: {length} characters are needed")
    return value


def address(table: dict[str, Any], key: str, where: str) -> Address | None:
    """`host:port`, None where the key is not there. Raises ConfigError."""
    if key not in table:
        return None
    given = text(table, key, where)
    host, colon, port = given.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 0xFFFF:
        raise ConfigError(f"{at(where, key)}: {given!r} is not host:port")
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError as error:
        if host != "localhost":
            raise ConfigError(f"{at(where, key)}: {host!r} is not an IP address or localhost") from error
    return Address(host.strip("[]"), int(port))
