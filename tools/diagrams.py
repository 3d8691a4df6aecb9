"""Draws the transition tables as Mermaid state diagrams: `python -m tools.diagrams` writes docs/reference/states.md.

The tables are the code's own; nothing is drawn that is not in one of them. With `--check` nothing is written; the exit
status is 1 when the page is not what would be written.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import NamedTuple, TypeVar

from controller.channel.address import TRANSITIONS as ADDRESS_TRANSITIONS
from controller.channel.control_unit_states import MOVES as UNIT_MOVES
from controller.channel.director_states import PORT_TRANSITIONS
from controller.channel.exchanges import MOVES as CHANNEL_MOVES
from controller.channel.facility import TRANSITIONS as FACILITY_TRANSITIONS
from controller.remote_copy.states import BRIDGE_NEXT, NEXT, TABLE, Cell
from tools.generated import write_or_check

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "states.md"
HEAD = """# States

Every diagram is drawn by `python -m tools.diagrams` from a table in the code; a test fails when this page is not up to
date. An arrow is labelled with the events that take it; `/` names the sequence that is sent. Events that change nothing
are left out.
"""
EVERYWHERE = "any state"
State = TypeVar("State", bound=Enum)
Event = TypeVar("Event")


class Edge(NamedTuple):
    """One arrow."""

    before: str
    after: str
    label: str


class Diagram(NamedTuple):
    """One section of the page."""

    title: str
    source: str  # where the table is
    text: str
    first: str  # initial state
    edges: list[Edge]


def edges_of(table: Mapping[tuple[State, Event], State]) -> list[Edge]:
    """Arrows of a table (state, event) -> state; `event` is an Enum or a text."""
    return [Edge(before.name, after.name, _name(event)) for (before, event), after in table.items()]


def moves_of(table: Mapping[tuple[State, State], str]) -> list[Edge]:
    """Arrows of a table (state, state) -> what brings it about."""
    return [Edge(before.name, after.name, text) for (before, after), text in table.items()]


def _name(event: object) -> str:
    return event.name if isinstance(event, Enum) else str(event)


def facility_edges() -> list[Edge]:
    """Arrows of the link-level facility, with the sequences that are sent."""
    return [
        Edge(before.name, step.state.name, event.name + (f" / {step.send.name}" if step.send else ""))
        for (before, event), step in FACILITY_TRANSITIONS.items()
    ]


def collected(edges: Iterable[Edge]) -> list[Edge]:
    """One arrow for each pair of states, and one from "any state" where every state has the same arrow."""
    edges = list(edges)
    states = {edge.before for edge in edges} | {edge.after for edge in edges}
    sources: dict[tuple[str, str], set[str]] = {}
    for edge in edges:
        sources.setdefault((edge.after, edge.label), set()).add(edge.before)
    everywhere = {key for key, found in sources.items() if found == states}
    labels: dict[tuple[str, str], list[str]] = {}
    for before, after, label in edges:
        if before == after and "/" not in label and "," not in label:
            continue
        start = EVERYWHERE if (after, label) in everywhere else before
        found = labels.setdefault((start, after), [])
        if label not in found:
            found.append(label)
    return [Edge(before, after, ", ".join(found)) for (before, after), found in labels.items()]


def drawn(diagram: Diagram) -> str:
    """A section of the page."""
    lines = [f"## {diagram.title}", "", diagram.text, f"Table: `{diagram.source}`.", ""]
    lines += ["```mermaid", "stateDiagram-v2"]
    edges = collected(diagram.edges)
    if any(edge.before == EVERYWHERE for edge in edges):
        lines.append(f'    state "{EVERYWHERE}" as ANY_STATE')
    lines.append(f"    [*] --> {diagram.first}")
    for before, after, label in edges:
        text = label.replace(":", " -")  # a colon would end the label
        lines.append(f"    {before.replace(EVERYWHERE, 'ANY_STATE')} --> {after} : {text}")
    return "\n".join([*lines, "```", ""])


def diagrams() -> list[Diagram]:
    """Everything that is drawn."""
    return [
        Diagram(
            "Link-level facility",
            "controller/channel/facility.py",
            "One end of a link: which sequence answers which, and whether a connection may exist.",
            "LINK_FAILURE",
            facility_edges(),
        ),
        Diagram(
            "Link address",
            "controller/channel/address.py",
            "How a facility comes by its link address. CONFIGURED facilities ask nobody.",
            "NEEDED",
            edges_of(ADDRESS_TRANSITIONS),
        ),
        Diagram(
            "Control-unit role",
            "controller/channel/control_unit_states.py",
            "The one connection of a link, as its control unit sees it.",
            "IDLE",
            moves_of(UNIT_MOVES),
        ),
        Diagram(
            "Channel role",
            "controller/channel/exchanges.py",
            "The exchange in hand of a port that acts as a channel.",
            "IDLE",
            moves_of(CHANNEL_MOVES),
        ),
        Diagram(
            "Director port",
            "controller/channel/director_states.py",
            "A port of a director. Link up and down come from a link-level facility of the port's own.",
            "OFFLINE",
            edges_of(PORT_TRANSITIONS),
        ),
        Diagram(
            "Pair",
            "controller/remote_copy/states.py",
            "The primary side of a pair. Every suspended state takes the arrows of SUSPENDED_INTERNAL.",
            "SIMPLEX",
            edges_of(NEXT),
        ),
        Diagram(
            "Bridge",
            "controller/remote_copy/states.py",
            "A bridge volume, from its definition to the copying of a volume.",
            "UNDEFINED",
            edges_of(BRIDGE_NEXT),
        ),
    ]


def pair_table() -> str:
    """The section that tells of every event in every state of a pair, both sides."""
    lines = [
        "## Pair, both sides",
        "",
        "New states of primary / secondary, by the state of the primary; `-` stays as it is, 0F.. is the sense of an",
        "order that is refused, an empty cell cannot happen. RECOVER and FAILOVER go to the secondary, which is none",
        "from then on; the primary hears of it as SECONDARY_SIMPLEX. Errors are told to the secondary where a path",
        "works. Codes as on the wire: 00 simplex, 01 pending, 02 duplex, 03-0A suspended.",
        "Table: `controller/remote_copy/states.py`.",
        "",
        "| event | 00 | 01 | 02 | 03-0A |",
        "| --- | --- | --- | --- | --- |",
    ]
    for event, row in TABLE.items():
        lines.append(f"| {event.name} | " + " | ".join(map(_cell_text, row)) + " |")
    return "\n".join([*lines, ""])


def _cell_text(cell: Cell | None) -> str:
    if cell is None:
        return ""
    if cell.reason is not None:
        return f"0F{int(cell.reason):02X}"
    return " / ".join("-" if state is None else f"{int(state):02X}" for state in (cell.primary, cell.secondary))


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(drawn(diagram) for diagram in diagrams()), pair_table()])


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, or with `--check` compare it."""
    return write_or_check("diagrams", {PAGE: page()}, arguments)


if __name__ == "__main__":
    sys.exit(main())
