"""What one measurement in the running emulator is of; emulated.py makes it, emulated_model.py predicts it."""

from __future__ import annotations

from dataclasses import dataclass

PENDING_MAX = 64  # pairs being established


@dataclass(frozen=True, slots=True)
class Setting:
    """One measurement. `bridges`: mirrored by bridges, or conventionally. Hosts think, exponentially, between I/Os."""

    bridges: bool
    pairs: int
    rtt_ms: float = 2.0
    rate_mbit: float = 136.0
    seconds: float = 8.0
    idle_seconds: float = 4.0
    hosts: int = 4
    think_ms: float = 20.0
    read_share: float = 0.5
    duplex_share: float = 0.5  # of I/Os: those that go to duplex volumes
    seed: int = 1
