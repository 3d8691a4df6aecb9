"""From outcomes to statements: confidence, exposure, the plan, the report, and the same outcomes wherever they run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from random import Random
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from distributed import LocalCluster

from tools.cli import main
from tools.simulation.arms import ARMS, FULL, NAIVE
from tools.simulation.execution import ClusterError, chunks, run_here, run_on_dask
from tools.simulation.experiment import QUICK, WHOLE, Experiment
from tools.simulation.exposure import exposure, rate_at
from tools.simulation.outcomes import OutcomesError, add_outcomes, read_outcomes
from tools.simulation.parameters import packaged
from tools.simulation.plots import FIGURES
from tools.simulation.run import Case, Outcome, Simulation, simulate
from tools.simulation.statistics import T_95, estimate, rounded

TINY = (
    ("run.warm_up_s", 0.3), ("run.window_s", 1.0), ("run.drain_s", 1.0), ("cache.slots", 2_000), ("hosts.volumes", 16),
    ("hosts.rate", 150.0),
)  # fmt: skip
CASES = [Case(arm, pairs, seed) for seed in (1, 2) for arm in ("best", "full") for pairs in (1, 8)]


def alike(outcome: Outcome) -> Outcome:
    """Without the one figure that is the machine's."""
    return replace(outcome, processor_s=0.0)


# Statistics


def test_an_interval_covers_the_truth_as_often_as_it_says() -> None:
    random = Random(7)
    covered = 0
    for _ in range(2_000):
        found = estimate([random.gauss(3.0, 2.0) for _ in range(5)])
        covered += abs(found.mean - 3.0) <= found.half
    assert covered / 2_000 == pytest.approx(0.95, abs=0.015)
    assert list(T_95) == sorted(T_95, reverse=True) and len(T_95) == 30


def test_one_value_has_no_interval() -> None:
    assert estimate([2.0]).half == 0.0 and str(estimate([2.0])) == "2"
    assert [rounded(value) for value in (1234.5, 12.34, 1.234, 0.1234)] == ["1,234", "12.3", "1.23", "0.123"]


# Exposure


def test_exposure_by_hand() -> None:
    """Four volumes of 3,600 tracks at one track a second: an hour each."""
    together = exposure({1: 1.0}, 4, 3_600, 10**12 // 3_600, None)
    assert (together.all_duplex_h, together.first_duplex_h, together.last_begins_h) == (4.0, 4.0, 0.0)
    assert together.volume_hours == 16.0 and together.terabyte_hours == pytest.approx(8.0)
    queued = exposure({1: 1.0}, 4, 3_600, 10**12 // 3_600, 1)
    assert (queued.all_duplex_h, queued.first_duplex_h, queued.last_begins_h) == (4.0, 1.0, 3.0)
    assert queued.volume_hours == 1 + 2 + 3 + 4 and queued.half_duplex_h == 2.0
    assert queued.terabyte_hours == pytest.approx(8.0)


def test_rates_between_measured_numbers() -> None:
    rates = {1: 100.0, 4: 300.0}
    assert [rate_at(rates, volumes) for volumes in (1, 2, 4, 64)] == [100.0, 200.0, 300.0, 300.0]


@pytest.mark.parametrize("arm", ["best", "capped", "full"])
def test_exposure_is_what_following_every_track_gives(arm: str) -> None:
    """Small volumes, copied to the end: the times from the rates agree with those of the copy tasks."""
    values = (*TINY, ("copy.volume_tracks", 300))
    parameters = packaged()[0].with_values(dict(values))
    followed = Simulation(parameters, Case(arm, 16, 1, tracks=300))
    followed.run_until_duplex()
    rates = {pairs: simulate(parameters, Case(arm, pairs, 1)).copied_per_s for pairs in (1, 2, 4, 8, 16)}
    at_once = parameters.copy.concurrent if arm != "best" else None
    expected = exposure(rates, 16, 300, parameters.copy.track_bytes, at_once)
    assert max(followed.tasks.duplex_at) / 3600 == pytest.approx(expected.all_duplex_h, rel=0.08)
    assert sum(followed.tasks.duplex_at) / 3600 == pytest.approx(expected.volume_hours, rel=0.08)


# The plan


def test_the_whole_experiment_has_every_point() -> None:
    parameters, described = packaged()
    experiment = Experiment(WHOLE, parameters, described)
    cases = experiment.cases()
    assert len(cases) == len(set(cases))
    for pairs in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024):
        for arm in ARMS[1:]:
            point = (arm.key, pairs, "uniform", ())
            seeds = {case.seed for case in cases if (case.arm, case.pairs, case.pattern, case.values) == point}
            assert len(seeds) >= 30
    varied = {name for case in cases for name, _ in case.values}
    assumed = {one.name for one in described if one.assumed}
    left_out = {"hosts.zipf_rate", "hosts.zipf_exponent", "hosts.think_ms", "bridge.status_links"}
    assert assumed - left_out <= varied
    assert {case.pattern for case in cases} == {"uniform", "zipf", "closed", "reads", "writes", "recorded"}


def test_chunks_are_all_cases_and_none_spans_two_seeds() -> None:
    parameters, described = packaged()
    cases = Experiment(QUICK, parameters, described).cases()
    pieces = list(chunks(cases))
    assert [case for _, piece in pieces for case in piece] == cases
    assert all(len({(case.pattern, case.values, case.seed) for case in piece}) == 1 for _, piece in pieces)
    assert all(cases[begin] is piece[0] for begin, piece in pieces)


# Wherever it runs


def test_processes_and_a_cluster_give_the_same_outcomes_as_this_process() -> None:
    parameters = packaged()[0].with_values(dict(TINY))
    here = [alike(simulate(parameters, case)) for case in CASES]
    seen: list[Outcome] = []
    assert [alike(one) for one in run_here(parameters, CASES, 2, seen.extend)] == here
    assert len(seen) == len(CASES)
    with LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, worker_dashboard_address=None
    ) as cluster:
        assert [alike(one) for one in run_on_dask(parameters, CASES, cluster.scheduler_address, seen.extend)] == here
    assert len(seen) == 2 * len(CASES)


def test_no_scheduler_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.simulation.execution.CONNECT_S", 1)
    for address in ("tcp://127.0.0.1:9", "nonsense://x"):
        with pytest.raises(ClusterError) as caught:
            run_on_dask(packaged()[0], CASES[:1], address)
        assert address in str(caught.value) and "\n" not in str(caught.value)


def test_outcomes_in_a_file(tmp_path: Path) -> None:
    parameters = packaged()[0].with_values(dict(TINY))
    found = [simulate(parameters, case) for case in (CASES[0], replace(CASES[1], values=(("links.count", 2),)))]
    path = tmp_path / "runs.jsonl"
    add_outcomes(path, found[:1])
    add_outcomes(path, found[1:])
    assert read_outcomes(path) == found
    path.write_text(path.read_text() + "{}\n")
    with pytest.raises(OutcomesError, match="line 3: not an outcome"):
        read_outcomes(path)
    with pytest.raises(OutcomesError, match="No such file"):
        read_outcomes(tmp_path / "none")


# The command


def test_the_command_writes_everything(tmp_path: Path) -> None:
    """The whole way on a system of 16 volumes: a minute's experiment in seconds."""
    file, out = tmp_path / "small.toml", tmp_path / "out"
    tables: dict[str, list[str]] = {}
    for name, value in (dict(TINY) | {"run.window_s": 0.5}).items():
        section, _, key = name.partition(".")
        tables.setdefault(section, []).append(f'{key} = {{ value = {value}, unit = "", source = "of the test" }}')
    file.write_text("\n".join(f"[{section}]\n" + "\n".join(lines) for section, lines in tables.items()))
    result = CliRunner().invoke(
        main, ["simulate", "--quick", "--out", str(out), "--parameters", str(file), "--workers", "2", "--json"]
    )
    assert result.exit_code == 0, result.output
    figures = json.loads(result.output)
    assert figures["pairs"] == [1, 8] and figures["gain"]["mean"] > 1
    assert {row["arm"] for row in figures["response_ms"]} >= {arm.key for arm in ARMS}
    page = (out / "report.html").read_text()
    assert page.count("data:image/svg+xml;base64,") == len(FIGURES) and "http" not in page.replace("http-equiv", "")
    for name in FIGURES:
        assert ElementTree.parse(out / f"{name}.svg").getroot().tag.endswith("svg")
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    lines = (out / "points.csv").read_text().splitlines()
    assert lines[0].startswith("arm,pairs,pattern,values,seeds,mean,mean_ci95") and len(lines) > 40
    again = CliRunner().invoke(
        main, ["simulate", "--quick", "--again", "--out", str(out), "--parameters", str(file), "--json"]
    )
    assert again.exit_code == 0, again.output
    assert json.loads(again.output) | {"seconds": 0} == figures | {"seconds": 0}
    assert (out / "report.html").read_text() == page
    text = CliRunner().invoke(main, ["simulate", "--quick", "--again", "--out", str(out), "--parameters", str(file)])
    assert NAIVE.title.split(",")[0] in text.output and str(figures["reading"][0])[:40] in text.output


@pytest.mark.parametrize(("arguments", "problem"), [
    (["--parameters", "none.toml"], "none.toml: No such file"),
    (["--again"], "runs.jsonl: No such file"),
    (["--dask", "tcp://127.0.0.1:9"], "tcp://127.0.0.1:9: "),
])  # fmt: skip
def test_bad_input_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], problem: str
) -> None:
    monkeypatch.setattr("tools.simulation.execution.CONNECT_S", 1)
    result = CliRunner().invoke(main, ["simulate", "--quick", "--out", str(tmp_path / "out"), *arguments])
    assert result.exit_code == 2
    assert problem in result.stderr and result.stderr.count("\n") == 1


def test_too_few_runs_are_not_reported(tmp_path: Path) -> None:
    parameters = packaged()[0].with_values(dict(TINY))
    add_outcomes(tmp_path / "runs.jsonl", [simulate(parameters, Case(FULL.key, 8, 1))])
    result = CliRunner().invoke(main, ["simulate", "--quick", "--again", "--out", str(tmp_path)])
    assert result.exit_code == 2 and "runs of this experiment are not there" in result.stderr
