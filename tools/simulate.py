"""`trackbridge simulate`: what establishing pairs costs the hosts, six ways; plots, tables, a report."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from controller.toml_fields import ConfigError
from tools.bad_input import BadInput
from tools.simulation import execution, outcomes, parameters, report
from tools.simulation.experiment import QUICK, WHOLE, Experiment
from tools.simulation.reading import reading
from tools.simulation.results import Results
from tools.simulation.run import Outcome

RUNS = "runs.jsonl"


@click.command()
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder for the results.")
@click.option("--quick", is_flag=True, help="Fewer points and seeds, shorter runs: under a minute instead of ten.")
@click.option("--parameters", "file", type=click.Path(path_type=Path), help="TOML file over the packaged parameters.")
@click.option("--seeds", type=click.IntRange(1, 1000), help="Seeds of the main figure.")
@click.option("--workers", type=click.IntRange(1, 1024), help="Processes; as many as there are processors by default.")
@click.option("--dask", metavar="ADDRESS", help="Scheduler of a Dask cluster that runs the simulations instead.")
@click.option("--again", is_flag=True, help=f"Make the report anew from {RUNS} in the folder; nothing is simulated.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as one JSON object.")
def simulate(
    out: Path, quick: bool, file: Path | None, seeds: int | None, workers: int | None, dask: str | None,
    again: bool, as_json: bool,
) -> None:  # fmt: skip
    """Simulate the response time of hosts while 1 to 1,024 pairs are being established.

    --out gets report.html, the figures as SVG and PNG, points.csv, results.json, and a line for each run in runs.jsonl.
    """
    plan = QUICK if quick else WHOLE
    if seeds is not None:
        plan = replace(plan, seeds=max(seeds, plan.distance_seeds, plan.tornado_seeds, plan.ablation_seeds))
    try:
        values, described = parameters.load(file)
        experiment = Experiment(plan, values, described)
        out.mkdir(parents=True, exist_ok=True)
        started = time.perf_counter()
        found = _read(out, experiment) if again else _run(experiment, out, workers, dask)
    except (ConfigError, outcomes.OutcomesError, execution.ClusterError, OSError) as error:
        raise BadInput(str(error)) from error
    results = Results(experiment, found)
    figures = report.write_report(results, described, out) | {"seconds": round(time.perf_counter() - started, 1)}
    if as_json:
        click.echo(json.dumps(figures, indent=1))
        return
    _print(results, out, time.perf_counter() - started)


def _run(experiment: Experiment, out: Path, workers: int | None, dask: str | None) -> list[Outcome]:
    cases = experiment.cases()
    runs = out / RUNS
    runs.write_text("")
    with _progress(len(cases)) as advance:

        def note(new: Sequence[Outcome]) -> None:
            outcomes.add_outcomes(runs, new)
            advance(len(new))

        if dask is not None:
            return execution.run_on_dask(experiment.parameters, cases, dask, note)
        return execution.run_here(experiment.parameters, cases, workers or os.cpu_count() or 1, note)


def _read(out: Path, experiment: Experiment) -> list[Outcome]:
    """The outcomes of this plan's cases. Raises OutcomesError when some are not there."""
    found = {outcome.case: outcome for outcome in outcomes.read_outcomes(out / RUNS)}
    missing = [case for case in experiment.cases() if case not in found]
    if missing:
        raise outcomes.OutcomesError(f"{out / RUNS}: {len(missing)} runs of this experiment are not there")
    return [found[case] for case in experiment.cases()]


def _print(results: Results, out: Path, seconds: float) -> None:
    console = Console()
    head, *rows = report.main_table(results)
    table = Table(*head, title="mean response time, ms (> : saturated, a lower bound)")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    for paragraph in reading(results):
        console.print(paragraph, "\n")
    console.print(
        f"{len(results.outcomes):,} runs, {results.processor_s:,.0f} processor seconds, {seconds:,.0f} s; {out}"
    )


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar on stderr while runs end; nothing where stderr is no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda done: None
        return
    columns = TextColumn("simulate"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("simulate", total=total)
        yield lambda done: bar.advance(task, done)
