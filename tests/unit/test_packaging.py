"""What `packaging/` starts and copies exists: programs, options, files and packages; the real tools where they are."""

from __future__ import annotations

import configparser
import json
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import click
import pytest

from ccw.shared_dasd import DEFAULT_PORT
from tools.cli import COMMANDS, main

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "packaging" / "trackbridge@.service"
CONTAINERFILE = ROOT / "packaging" / "Containerfile"


def accepts(arguments: Sequence[str]) -> None:
    """Fail unless the command line takes these arguments, without running the command."""
    with click.Context(main, info_name="trackbridge") as parent:
        command = main.get_command(parent, arguments[0])
        assert command is not None, f"no command {arguments[0]} among {sorted(COMMANDS)}"
        command.make_context(arguments[0], list(arguments[1:]), parent=parent)


def unit() -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=True, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(UNIT.read_text(encoding="utf-8"))
    return parser


def instructions() -> list[tuple[str, str]]:
    """Every instruction of the container file: its word, and the rest, continued lines joined."""
    text = CONTAINERFILE.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines]


@pytest.mark.parametrize("name", ["ExecStartPre", "ExecStart"])
def test_the_unit_runs_a_command_that_exists(name: str) -> None:
    program, *arguments = shlex.split(unit()["Service"][name])
    assert Path(program).name == "trackbridge"
    accepts([argument.replace("%i", "site") for argument in arguments])


def test_the_unit_writes_only_where_it_may() -> None:
    """The store below the state directory; the local socket of `localhost` in the machine's own /tmp."""
    service = unit()["Service"]
    assert service["ProtectSystem"] == "strict" and service["PrivateTmp"] == "no"
    assert service["WorkingDirectory"] == f"/var/lib/{service['StateDirectory']}"
    assert service["ReadWritePaths"] == "/tmp"
    assert "AF_UNIX" in service["RestrictAddressFamilies"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    program = tmp_path / "trackbridge"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/opt/trackbridge/bin/trackbridge", str(program)))
    done = subprocess.run(["systemd-analyze", "verify", str(copy)], capture_output=True, text=True)
    assert done.returncode == 0 and UNIT.name not in done.stderr, done.stderr


def test_the_container_copies_all_that_is_installed() -> None:
    copied = [source for word, rest in instructions() if word == "COPY" for source in rest.split()[:-1]]
    for source in copied:
        assert (ROOT / source).exists(), source
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    wanted = {name.strip().rstrip("*.") for name in settings["options.packages.find"]["include"].split() if name}
    assert wanted <= set(copied)


def test_the_container_runs_a_command_that_exists() -> None:
    found = dict(instructions())
    (program,) = json.loads(found["ENTRYPOINT"])
    assert program == "trackbridge"
    arguments = json.loads(found["CMD"])
    accepts(arguments)
    port = arguments[arguments.index("--shared-dasd") + 1].rpartition(":")[2]
    assert port in found["EXPOSE"].split() and int(port) == DEFAULT_PORT


@pytest.mark.soak
def test_the_container_is_built_and_runs() -> None:
    engines = [found for found in map(shutil.which, ("podman", "docker")) if found]
    engine = next((one for one in engines if not subprocess.run([one, "info"], capture_output=True).returncode), None)
    if engine is None:
        pytest.skip("neither podman nor a docker daemon runs here")
    subprocess.run([engine, "build", "-f", str(CONTAINERFILE), "-t", "trackbridge-test", str(ROOT)], check=True)
    run = [engine, "run", "--rm", "trackbridge-test", "--help"]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert "serve" in done.stdout
