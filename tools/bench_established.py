"""`trackbridge bench established`: hosts of two running systems while pairs are established, beside a prediction."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import click

from tools.bad_input import BadInput
from tools.simulation.setting import PENDING_MAX, Setting


@click.command()
@click.option(
    "--pairs", default=(1, 8, 64), show_default=True, multiple=True, type=click.IntRange(1, PENDING_MAX),
    help="Pairs being established. Repeatable.",
)  # fmt: skip
@click.option("--live", is_flag=True, help="Two processes and this machine's clock; else a virtual clock.")
@click.option("--rtt", default=20.0, show_default=True, type=click.FloatRange(0.5, 1000), help="Round trip, ms.")
@click.option("--rate", default=136.0, show_default=True, type=click.FloatRange(1, 10_000), help="Mbit/s of a link.")
@click.option("--seconds", default=60.0, show_default=True, type=click.FloatRange(1, 600), help="Of each measurement.")
@click.option("--without-bridges/--with-bridges", default=None, help="Only one of both ways.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def established(
    pairs: tuple[int, ...], live: bool, rtt: float, rate: float, seconds: float, without_bridges: bool | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Measure hosts while pairs are established between two running systems, beside what queues predict."""
    from tools.simulation import emulated, emulated_model  # with two storage systems, for which --help does not wait

    ways = (True, False) if without_bridges is None else (not without_bridges,)
    rows = []
    for bridges in ways:
        for number in pairs:
            setting = Setting(bridges, number, rtt_ms=rtt, rate_mbit=rate, seconds=seconds, idle_seconds=seconds / 2)
            try:
                with tempfile.TemporaryDirectory() as folder:
                    measured = emulated.measure_live(Path(folder), setting) if live else (
                        emulated.measure_virtually(setting)
                    )
            except (RuntimeError, OSError, emulated.EmulatedError) as error:
                raise BadInput(str(error)) from error
            rows.append(emulated_model.compare(measured).figures())
            if not as_json:
                click.echo(_line(rows[-1]))
    if as_json:
        load = round(os.getloadavg()[0], 2)
        click.echo(json.dumps({"load": load, "rtt_ms": rtt, "rate_mbit": rate, "established": rows}, indent=2))
        return
    click.echo(f"load of the machine {os.getloadavg()[0]:.2f}, {os.cpu_count()} processors")


def _line(row: dict[str, Any]) -> str:
    return (
        f"{row['way']:<12} {row['pairs']:>2} pairs: mirrored writes {row['mirrored_ms']} ms, predicted "
        f"{row['mirrored_predicted_ms']} ({row['mirrored_error']:+.0%}); all I/Os {row['mean_ms']} ms, predicted "
        f"{row['mean_predicted_ms']} ({row['mean_error']:+.0%}); {row['copied_per_s']} tracks/s, predicted "
        f"{row['copied_predicted_per_s']}; nothing copied: mirrored writes {row['idle_mirrored_ms']} ms"
    )
