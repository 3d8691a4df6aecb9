"""What a configuration says of mirroring: read, or refused in one line."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from controller.config import ConfigError, check_config
from controller.remote_copy.settings import BridgeVolume
from controller.remote_copy.states import BridgeRole

GOOD = """
name = "A"
serial = "000000012345"
ssid = "0100"
store = "store"
reestablish = false
[[volume]]
address = "00"
cylinders = 2
[[volume]]
address = "05"
cylinders = 2
[[volume]]
address = "F0"
cylinders = 2
[[volume]]
address = "F1"
cylinders = 2
[[port]]
said = "0010"
kind = "peer"
listen = "127.0.0.1:0"
[[port]]
said = "0011"
kind = "peer"
listen = "127.0.0.1:0"
[[bridge]]
number = 1
role = "primary"
data = "F0"
status = "F1"
[[mirror]]
system = "0200:00:000000067890"
links = ["0010", "11"]
pairs = ["00:00", "05:15"]
bridges = ["1:F0"]
auto_establish = true
"""


def test_all_of_it_is_read() -> None:
    copy = check_config(tomllib.loads(GOOD), Path()).copy
    assert not copy.reestablish
    assert copy.bridge_volumes == (
        BridgeVolume(0xF0, BridgeRole.PRIMARY_DATA, 1),
        BridgeVolume(0xF1, BridgeRole.SECONDARY_STATUS, 1),
    )
    (mirror,) = copy.mirrors
    assert mirror.box == ("000000067890".encode("cp037"), 0x0200, 0)
    assert (mirror.links, mirror.pairs, mirror.bridges) == ((0x10, 0x11), {0: 0, 5: 0x15}, {1: 0xF0})
    assert mirror.auto_establish
    assert not mirror.consistency_group


def test_without_any_of_it_everything_comes_back_and_nothing_begins_by_itself() -> None:
    copy = check_config(tomllib.loads(GOOD[: GOOD.index("[[bridge]]")].replace("reestablish = false", "")), Path()).copy
    assert copy.reestablish
    assert copy.mirrors == copy.bridge_volumes == ()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('role = "primary"', 'role = "left"', "bridge[0].role"),
        ("number = 1", "number = 9", "bridge[0].number: a number from 1 to 8"),
        ('status = "F1"', 'status = "F2"', "bridge[0].status: there is no volume F2"),
        ('status = "F1"', 'status = "F0"', "bridge"),
        ('system = "0200', 'system = "200', "mirror[0].system: SSID:LSS:serial"),
        ('"0010", "11"', '"0010", "12"', "mirror[0].links: '12' is no peer port"),
        ('links = ["0010", "11"]', "links = []", "mirror[0].links: a list of 1 to 8 ports"),
        ('"05:15"', '"06:15"', "mirror[0].pairs: there is no volume 06 that can be mirrored"),
        ('"05:15"', '"F0:15"', "mirror[0].pairs: there is no volume F0 that can be mirrored"),
        ('"05:15"', '"00:15"', "mirror[0].pairs: 00 is there twice"),
        ('"05:15"', '"05"', "mirror[0].pairs: a list of two numbers each"),
        ('"1:F0"', '"9:F0"', "mirror[0].bridges: bridges have numbers from 1 to 8"),
        ("auto_establish = true", "auto_establish = 1", "mirror[0].auto_establish"),
        ("auto_establish = true", "automatic = true", "mirror[0]"),
    ],
)
def test_what_is_wrong_is_said(old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError) as error:
        check_config(tomllib.loads(GOOD.replace(old, new, 1)), Path())
    assert str(error.value).startswith(message)
