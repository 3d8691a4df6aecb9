"""Reading a Hercules configuration: which lines are disks, what is refused, and what comes out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from ccw.plain_images import plain_header
from ccw.tracks import null_track
from controller.config import ConfigError, load_config
from tools.cli import main
from tools.hercules_cnf import dasd_lines, shared_line

TRACK_SIZES = {"3390": (15, 56832), "3350": (30, 19456)}


def image(path: Path, device_type: str = "3390") -> Path:
    heads, size = TRACK_SIZES[device_type]
    tracks = b"".join(null_track(0, head).ljust(size, b"\0") for head in range(heads))
    path.write_bytes(plain_header(heads, size, int(device_type, 16)) + tracks)
    return path


def test_disks_are_found_and_other_lines_passed_over(tmp_path: Path) -> None:
    (tmp_path / "more.cnf").write_text("0:0130 3390 third.ckd RO sf=shadow_*.ckd\n")
    cnf = tmp_path / "my.cnf"
    cnf.write_text(
        "# a comment\n* another\nARCHMODE S/370\n\n0120 3390 first.ckd # here\n0121 3350 sub/second.cckd\n"
        "000C 3505 cards.txt\n0122 3390 127.0.0.1:3990:0122\n0123 3390 host:3990\n0200-0203 3270\nINCLUDE more.cnf\n"
    )
    found = dasd_lines(cnf)
    assert [(entry.number, entry.device_type, entry.where) for entry in found] == [
        (0x0120, "3390", f"{cnf}:5"), (0x0121, "3350", f"{cnf}:6"), (0x0130, "3390", f"{tmp_path}/more.cnf:1"),
    ]  # fmt: skip
    assert found[1].image == tmp_path / "sub" / "second.cckd"
    assert (found[2].read_only, found[2].shadows) == (True, tmp_path / "shadow_*.ckd")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0120 3390 a.ckd\n0120 3390 b.ckd\n", "my.cnf:2: device 0120 is defined twice, first in "),
        ("0120-0122 3390 a.ckd\n", "my.cnf:1: 3 devices cannot have one image"),
        ("0120.4 3390 a.ckd\n", "my.cnf:1: 4 devices cannot have one image"),
        ("0124-0120 3390 a.ckd\n", "my.cnf:1: 0124-0120 names no device"),
        ("0120.0 3390 a.ckd\n", "my.cnf:1: 0120.0 names no device"),
        ("INCLUDE my.cnf\n", "my.cnf: includes itself"),
        ("INCLUDE sub/../my.cnf\n", "sub/../my.cnf: includes itself"),
        ("INCLUDE none.cnf\n", "none.cnf: No such file or directory"),
    ],
)
def test_one_line_says_what_and_where(text: str, message: str, tmp_path: Path) -> None:
    cnf = tmp_path / "my.cnf"
    cnf.write_text(text)
    (tmp_path / "sub").mkdir()
    with pytest.raises(ConfigError) as error:
        dasd_lines(cnf)
    assert message in str(error.value)


def test_a_line_never_names_localhost() -> None:
    assert shared_line(0x0120, "3390", "localhost", 3990) == "0120 3390 127.0.0.1:3990:0120"
    assert shared_line(0x0120, "3390", "192.0.2.1", 3990, read_only=True) == "0120 3390 192.0.2.1:3990:0120 ro"


def test_a_configuration_is_taken_over(tmp_path: Path) -> None:
    image(tmp_path / "one.ckd")
    image(tmp_path / "two.ckd", "3350")
    cnf = tmp_path / "my.cnf"
    cnf.write_text("0120 3390 one.ckd\n1120 3350 two.ckd ro\n")
    out = tmp_path / "out"
    run = CliRunner().invoke(main, ["import-cnf", str(cnf), "--out", str(out), "--json"])
    assert run.exit_code == 0, run.output
    assert [row["imported"] for row in json.loads(run.output)["devices"]] == [True, True]
    settings = load_config(out / "config.toml")
    assert [(volume.number, volume.device_type, volume.read_only) for volume in settings.volumes] == [
        (0x0120, "3390", False), (0x1120, "3350", True),
    ]  # fmt: skip
    assert len({volume.address for volume in settings.volumes}) == 2
    lines = CliRunner().invoke(main, ["hercules-conf", str(out / "config.toml")]).output
    assert lines == (out / "hercules-dasd.cnf").read_text()
    assert lines == "0120 3390 127.0.0.1:3990:0120\n1120 3350 127.0.0.1:3990:1120 ro\n"
    again = CliRunner().invoke(main, ["import-cnf", str(cnf), "--out", str(out), "--json"])
    assert [row["imported"] for row in json.loads(again.output)["devices"]] == [False, False]


def test_a_configuration_that_was_edited_is_not_replaced(tmp_path: Path) -> None:
    image(tmp_path / "one.ckd")
    cnf, out = tmp_path / "my.cnf", tmp_path / "out"
    cnf.write_text("0120 3390 one.ckd\n")
    command = ["import-cnf", str(cnf), "--out", str(out)]
    assert CliRunner().invoke(main, command).exit_code == 0
    edited = (out / "config.toml").read_text() + '[[schedule]]\nevery = "daily"\nkeep = 7\n'
    (out / "config.toml").write_text(edited)
    image(tmp_path / "two.ckd")
    cnf.write_text("0120 3390 one.ckd\n0121 3390 two.ckd\n")
    again = CliRunner().invoke(main, command)
    assert again.exit_code == 2
    assert again.output == (
        f"trackbridge: {out}/config.toml: there already, with other contents, which are kept: "
        "move it away, or --out DIR\n"
    )
    assert (out / "config.toml").read_text() == edited
    listed = CliRunner().invoke(main, ["volume", "list", "--store", str(out / "store"), "--json"])
    assert [volume["device"] for volume in json.loads(listed.output)["volumes"]] == ["120"]


def test_an_image_without_a_shadow_file_yet_is_taken_over_alone(tmp_path: Path) -> None:
    cnf, store = tmp_path / "my.cnf", ("--store", str(tmp_path / "first"))
    run = CliRunner()
    run.invoke(main, ["volume", "create", "0A", "--model", "3390", "--cylinders", "1", "--volser", "A", *store])
    run.invoke(main, ["volume", "export", "0A", str(tmp_path / "one.cckd"), "--format", "cckd", *store])
    cnf.write_text("0120 3390 one.cckd sf=shadow_*.cckd\n")
    done = run.invoke(main, ["import-cnf", str(cnf), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[0] == (
        f"0120 3390-1: {tmp_path}/one.cckd imported, without shadow files: there is no {tmp_path}/shadow_*.cckd yet"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ARCHMODE S/370\n", "there is no CKD device with an image in it"),
        ("0120 3390 none.ckd\n", "my.cnf:1: "),
        ("# first\nINCLUDE more.cnf\n", "more.cnf:2: image "),
        ("0120 3380 one.ckd\n", "one.ckd is of a 3390, not 3380"),
    ],
)
def test_a_configuration_that_cannot_be_taken_over_imports_nothing(text: str, message: str, tmp_path: Path) -> None:
    image(tmp_path / "one.ckd")
    (tmp_path / "more.cnf").write_text("\n0124 3390 none.ckd\n")
    cnf = tmp_path / "my.cnf"
    cnf.write_text(text)
    run = CliRunner().invoke(main, ["import-cnf", str(cnf), "--out", str(tmp_path / "out")])
    assert run.exit_code == 2
    assert message in run.output and run.output.count("\n") == 1
    assert not (tmp_path / "out").exists()
