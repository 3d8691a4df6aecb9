"""The transition table of pairs, cell by cell."""

from __future__ import annotations

import pytest

from controller.remote_copy.states import NEXT, IllegalTransition, PairEvent, PairState, next_state

P, D = PairState.DUPLEX_PENDING, PairState.DUPLEX
SUSPENDED = [state for state in PairState if state.suspended]

# (event, from simplex, pending, duplex, suspended); None: illegal; "same": keeps its code
TABLE = [
    (PairEvent.ESTABLISH_COPY, P, None, None, P),
    (PairEvent.ESTABLISH_NOCOPY, D, None, None, None),
    (PairEvent.RESYNC, None, None, D, P),
    (PairEvent.COPY_COMPLETE, None, D, None, None),
    (PairEvent.SUSPEND_AT_PRIMARY, None, PairState(3), PairState(3), "same"),
    (PairEvent.SUSPEND_AT_SECONDARY, None, PairState(4), PairState(4), "same"),
    (PairEvent.HELD_AT_SECONDARY, None, None, None, PairState(4)),
    (PairEvent.DELETE, None, PairState.SIMPLEX, PairState.SIMPLEX, PairState.SIMPLEX),
    (PairEvent.COMMUNICATION_LOST, None, PairState(6), PairState(6), "same"),
    (PairEvent.SECONDARY_SIMPLEX, None, PairState(7), PairState(7), PairState(7)),
    (PairEvent.SECONDARY_ERROR, None, PairState(8), PairState(8), "same"),
    (PairEvent.PRIMARY_ERROR, None, PairState(6), PairState(6), "same"),
    (PairEvent.ESTABLISH_XD, P, None, None, P),
    (PairEvent.RESYNC_XD, None, None, None, P),
    (PairEvent.GO_TO_SYNC, None, "same", None, None),
    (PairEvent.FREEZE, "same", PairState(10), PairState(10), "same"),
    (PairEvent.FAILBACK, None, None, None, P),
    (PairEvent.RUN, "same", "same", "same", "same"),
    (PairEvent.DELETE_WITHOUT_PATH, None, None, None, None),
    (PairEvent.RECOVER, None, "same", "same", "same"),
    (PairEvent.FAILOVER, None, "same", "same", "same"),
    (PairEvent.RESTART, None, P, PairState(9), "same"),
]


def test_the_table_names_every_event() -> None:
    assert {row[0] for row in TABLE} == set(PairEvent)


@pytest.mark.parametrize(
    ("state", "event", "target"),
    [
        (state, row[0], row[column])
        for row in TABLE
        for column, states in ((1, [PairState.SIMPLEX]), (2, [P]), (3, [D]), (4, SUSPENDED))
        for state in states
    ],
)
def test_cell(state: PairState, event: PairEvent, target: PairState | str | None) -> None:
    if target is None:
        with pytest.raises(IllegalTransition):
            next_state(state, event)
    else:
        assert next_state(state, event) is (state if target == "same" else target)


def test_rows_for_suspended_pairs_are_written_once() -> None:
    assert {state for state, _ in NEXT if state.suspended} == {PairState.SUSPENDED_INTERNAL}
