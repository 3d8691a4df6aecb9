"""A configuration is checked whole before anything starts; what is wrong is one line: file, key, problem."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from controller.config import Address, ConfigError, load_config
from tools.cli import main

GOOD = (Path(__file__).parents[2] / "docs" / "examples" / "a.toml").read_text(encoding="utf-8")


def test_a_good_file(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(GOOD)
    config = load_config(path)
    assert (config.serial, config.ssid, config.lss, config.profile) == ("000000012345", 0x0100, 0, "2107")
    assert config.store == tmp_path / "store-A"
    assert [volume.address for volume in config.volumes] == [0x00, 0x05, 0xF0, 0xF1]
    assert config.ports[1].connect == Address("127.0.0.1", 4120)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "A"', "name = 1", "name: a text is needed"),
        ('name = "A"', 'name = "A"\ncolour = "red"', "colour: no such setting"),
        ('name = "A"', 'name = "A"\ncapacity_mb = 100', "capacity_mb: a number of at least 512 is needed"),
        ('serial = "000000012345"', 'serial = "lower"', "serial: up to 12 digits"),
        ('ssid = "0100"', 'ssid = "0000"', "ssid: hexadecimal digits"),
        ('ssid = "0100"', "ssid = 256", "ssid: hexadecimal digits"),
        ('profile = "2107"', 'profile = "3880"', "profile: '3880' is not one of"),
        ("cylinders = 20", "cylinders = 0", "volume[0].cylinders: a number from 1"),
        ('type = "3390"', 'type = "3331"', "volume[0].type: '3331' is not one of"),
        ('address = "05"', 'address = "00"', "volume[1].address: 00 is used twice"),
        ('said = "0011"', 'said = "0010"', "port[2].said: 10 is used twice"),
        ('kind = "host"', 'kind = "guest"', "port[0].kind: 'guest' is not one of"),
        ('listen = "127.0.0.1:4000"', 'listen = "example.org:4000"', "port[0].listen: 'example.org' is not an IP"),
        ('listen = "127.0.0.1:4000"', 'listen = "127.0.0.1"', "port[0].listen: '127.0.0.1' is not host:port"),
        ('listen = "127.0.0.1:4000"', "", "port[0]: either listen or connect is needed"),
        ('connect = "127.0.0.1:4120"', 'connect = "127.0.0.1:0"', "port[1].connect: port 0"),
        ('kind = "host"', 'kind = "host"\nshape = 3', "port[0].shape: written as a table"),
        ('kind = "host"', 'kind = "host"\nshape = {delay = 1}', "port[0].shape.delay: no such setting"),
        ('kind = "host"', 'kind = "host"\nshape = {rtt_ms = -1}', "port[0].shape.rtt_ms: a number from 0 to 10000"),
        ('kind = "host"', 'kind = "host"\ndirector = true', "port[0].director: the port connects to a director's"),
        ('listen = "127.0.0.1:4000"', 'connect = "127.0.0.1:4000"', "port[0].listen: a host port listens, or"),
        ('kind = "peer"', 'kind = "peer"\ndirector = true', "port[1].peer_address: needed for a peer port"),
        ('kind = "peer"', 'kind = "peer"\npeer_address = "61"', "port[1].peer_address: only for a peer port"),
        (
            'kind = "peer"',
            'kind = "peer"\ndirector = true\npeer_address = "FE"',
            "port[1].peer_address: hexadecimal digits",
        ),
        ("[[volume]]", "[[volume", "not TOML"),
    ],
)
def test_one_line_says_what_and_where(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "bad.toml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


def test_commands_end_with_status_2_and_change_nothing(tmp_path: Path) -> None:
    image = tmp_path / "image.ckd"
    image.write_bytes(b"not an image")
    config = tmp_path / "bad.toml"
    config.write_text(GOOD.replace("cylinders = 20", 'cylinders = 20\nimage = "image.ckd"', 1))
    for arguments in (
        ["serve", str(tmp_path / "absent.toml")],
        ["serve", "--check", str(config)],
        ["serve", str(config)],
        ["replay", str(tmp_path)],
        ["demo", "--keep", str(tmp_path)],
    ):
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 2, (arguments, result.output)
        assert len(result.stderr.strip().splitlines()) == 1, result.stderr
        assert not (tmp_path / "store-A").exists()


def test_a_store_that_is_in_use_is_refused(tmp_path: Path) -> None:
    from controller.app import open_store

    path = tmp_path / "a.toml"
    path.write_text(GOOD)
    config = load_config(path)
    with open_store(config):
        result = CliRunner().invoke(main, ["serve", str(path)])
    assert result.exit_code == 2
    assert "is in use" in result.stderr or "open" in result.stderr


def test_a_volume_cannot_change_its_shape(tmp_path: Path) -> None:
    from controller.app import open_store

    path = tmp_path / "a.toml"
    path.write_text(GOOD)
    open_store(load_config(path)).close()
    path.write_text(GOOD.replace("cylinders = 20", "cylinders = 21", 1))
    with pytest.raises(ConfigError, match="volume 00: cylinders is 20 in the store, 21 here"):
        open_store(load_config(path))
