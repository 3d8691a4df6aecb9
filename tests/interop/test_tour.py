"""The README's tour, as a new user types it: two configurations, two scripts, real processes."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from click.testing import CliRunner

from tests.helpers.configurations import EXAMPLES, copy_examples
from tests.helpers.light import until_lit
from tests.helpers.patience import PATIENCE_S
from tools.cli import main
from tools.demo_sites import start_site


def host(port: int, script: Path, give_up_s: float = 0.0) -> list[dict[str, object]]:
    """Run a script, again until `give_up_s` has passed (links of a system just started take a moment)."""
    command = [sys.executable, "-m", "tools", "host", "--json", "--target", f"tcp://127.0.0.1:{port}", str(script)]
    started = time.monotonic()
    while True:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        if done.returncode == 0:
            return [json.loads(line) for line in done.stdout.splitlines()]
        assert time.monotonic() - started < give_up_s, done.stdout + done.stderr


def test_tour(tmp_path: Path) -> None:
    ports = copy_examples(tmp_path)
    with ExitStack() as stack:
        stack.enter_context(start_site(tmp_path, tmp_path / "b.toml"))
        until_lit(stack.enter_context(start_site(tmp_path, tmp_path / "a.toml")), 0x10, 0x11)
        host(ports["4001"], tmp_path / "bridge-at-b.txt")
        reports = host(ports["4000"], tmp_path / "mirror.txt")
        with socket.create_connection(("127.0.0.1", ports["4120"])) as stranger:
            stranger.settimeout(PATIENCE_S)
            assert stranger.recv(1) == b""  # the port has its link: refused, and the mirror goes on
        write = tmp_path / "write.txt"
        write.write_text("write-record device=05 cylinder=0 head=1 record=2 data=" + "C6" * 80)
        assert host(ports["4000"], write)[0]["ok"]
    with ExitStack() as stack:
        stack.enter_context(start_site(tmp_path, tmp_path / "b.toml"))
        stack.enter_context(start_site(tmp_path, tmp_path / "a.toml"))
        assert host(ports["4000"], tmp_path / "after-restart.txt", give_up_s=PATIENCE_S)[-1]["state_name"] == "duplex"
    assert all(report["ok"] for report in reports)
    assert reports[-1]["state_name"] == "duplex"


def test_examples_are_valid() -> None:
    for name in ("a.toml", "b.toml"):
        result = CliRunner().invoke(main, ["serve", "--check", str(EXAMPLES / name)])
        assert result.exit_code == 0, result.output
        assert "volume F0: 3390-1, 20 cylinders" in result.output
    assert not (EXAMPLES / "store-A").exists()
