"""Whatever ends a demonstration, a drill or a benchmark is told in one line, also from inside nurseries."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner

from tools import demo, demo_sites, drill
from tools.bench_shared import our_server
from tools.bridge_bench import sites as bench_sites
from tools.cli import main
from tools.demo_sites import SiteProcess

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(20)"


async def in_nurseries(error: Exception) -> None:
    async def fail() -> None:
        raise error

    async with trio.open_nursery() as outer:
        async with trio.open_nursery() as inner:
            inner.start_soon(fail)
        outer.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("error", "text"), [(RuntimeError("A refused a write"), "A refused a write"), (trio.TooSlowError(), "too long")]
)
def test_a_drill_that_fails_inside_a_nursery(
    error: Exception, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drill, "run_journey", lambda *given: trio.run(in_nurseries, error))
    ended = CliRunner().invoke(main, ["drill", "--failback", "--seed", "1", "--keep", str(tmp_path)])
    assert ended.exit_code == 2, ended.exception
    assert ended.output.startswith("trackbridge: round 1 (seed 1): ")
    assert text in ended.output
    assert ended.output.count("\n") == 1


def test_a_demonstration_that_fails_inside_a_nursery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*given: object) -> None:
        await in_nurseries(RuntimeError("device 05: sense 80"))

    monkeypatch.setattr(demo, "_run", fail)
    ended = CliRunner().invoke(main, ["demo", "--keep", str(tmp_path)])
    assert ended.exit_code == 1, ended.exception
    assert "demo failed: device 05: sense 80" in ended.output


def test_a_system_that_does_not_end_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_sites, "STOP_TIMEOUT_S", 0.2)
    with subprocess.Popen([sys.executable, "-c", DEAF], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            with pytest.raises(RuntimeError, match=r"system A has not ended 0\.2 s after it was told to"):
                trio.run(SiteProcess("A", tmp_path, process, {}).stop)
        finally:
            process.kill()


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"did not start: trackbridge: .*none\.ckd"), our_server(
        tmp_path, {0x0130: tmp_path / "none.ckd"}
    ):
        pass


def test_a_benchmark_does_not_wait_without_end_for_a_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_sites, "COPY_TIMEOUT_S", 0.0)
    ended = CliRunner().invoke(main, ["bench", "bridge", "--quick", "--stage", "writes"])
    assert ended.exit_code == 2, ended.exception
    assert ended.output.endswith("trackbridge: a copy took too long\n")
