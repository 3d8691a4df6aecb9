"""The drawn tables: the page is up to date, every row is in it, and a page that is not is seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import diagrams
from tools.diagrams import Edge, collected


def test_page_is_up_to_date() -> None:
    assert diagrams.PAGE.read_text(encoding="utf-8") == diagrams.page(), "run python -m tools.diagrams"


def test_every_state_is_drawn() -> None:
    text = diagrams.page()
    for diagram in diagrams.diagrams():
        for edge in diagram.edges:
            assert edge.after in text and edge.before in text
            if edge.before != edge.after:
                assert edge.label.partition(":")[0] in text, edge


def test_arrows_of_all_states_are_put_together() -> None:
    edges = [Edge("A", "B", "x"), Edge("B", "B", "x"), Edge("A", "B", "y"), Edge("B", "A", "z")]
    assert collected(edges) == [Edge("any state", "B", "x"), Edge("A", "B", "y"), Edge("B", "A", "z")]


def test_check_sees_a_stale_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(diagrams, "PAGE", tmp_path / "reference" / "states.md")
    assert diagrams.main(["--check"]) == 1
    assert "not up to date" in capsys.readouterr().err
    assert diagrams.main([]) == 0
    assert diagrams.main(["--check"]) == 0
    diagrams.PAGE.write_text("something else")
    assert diagrams.main(["--check"]) == 1
