"""The benchmark of the bridge runs; what its figures are worth is another matter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tools.bench import STAGES
from tools.cli import main


def test_a_stage_runs_and_its_table_is_json(tmp_path: Path) -> None:
    arguments = ["--quick", "--stage", "shaped", "--folder", str(tmp_path), "--json"]
    ended = CliRunner().invoke(main, ["bench", "bridge", *arguments])
    assert ended.exit_code == 0, ended.output
    (row,) = json.loads(ended.stdout)["shaped"]
    assert 0 < row["used"] <= 1
    assert not list(tmp_path.iterdir())


@pytest.mark.soak
def test_every_stage_runs() -> None:
    ended = CliRunner().invoke(main, ["bench", "bridge", "--quick", "--json"])
    assert ended.exit_code == 0, ended.output
    assert set(json.loads(ended.stdout)) >= set(STAGES)
