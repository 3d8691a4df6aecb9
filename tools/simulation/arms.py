"""What is compared: one storage system, six ways to establish pairs, and each part of the invention alone.

Every part is a switch, so the arms are points of one space and the ablation is a walk through it.

    update_first   a host's write goes ahead of copied tracks that wait for a link
    path_first     the copy task gets its path before it closes the volume, and leaves a volume alone that a host uses
    queue          no more volumes at once than `copy.concurrent`; the others wait and cost nothing
    kept_path      bridges keep their paths: nothing is allocated, no chain started, for one volume's tracks
    decoupled      status comes back later and elsewhere: a link is not held while it is waited for
    snapshot       a bridge reads from a copy by pointers: the volume stays open to its hosts
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Arm:
    """One way. `copies` False: pairs are mirrored, but nothing is being established."""

    key: str
    title: str
    mirrors: bool = True
    copies: bool = True
    update_first: bool = False
    path_first: bool = False
    queue: bool = False
    kept_path: bool = False
    decoupled: bool = False
    snapshot: bool = False


SIMPLEX = Arm("simplex", "no remote copy", mirrors=False, copies=False)
NAIVE = Arm("naive", "conventional, naive")
BEST = Arm("best", "conventional, best practice", update_first=True, path_first=True)
CAPPED = replace(BEST, key="capped", title="best practice, 8 at a time", queue=True)
BRIDGE = replace(BEST, key="bridge", title="bridge, decoupled status", kept_path=True, decoupled=True)
FULL = replace(BRIDGE, key="full", title="bridge + snapshot + queue", snapshot=True, queue=True)
MIRRORED = replace(FULL, key="mirrored", title="bridge, nothing to copy", copies=False)

ARMS = (SIMPLEX, NAIVE, BEST, CAPPED, BRIDGE, FULL)

# The ablation: best practice with one part more, the whole invention with one part less.
ADDED = (
    CAPPED,
    replace(BEST, key="best+path", title="best practice + kept path", kept_path=True),
    replace(BEST, key="best+status", title="best practice + decoupled status", decoupled=True),
    replace(BEST, key="best+snapshot", title="best practice + snapshot", snapshot=True),
)
REMOVED = (
    replace(FULL, key="full-queue", title="invention without queue", queue=False),
    replace(FULL, key="full-path", title="invention without kept path", kept_path=False),
    replace(FULL, key="full-status", title="invention without decoupled status", decoupled=False),
    replace(FULL, key="full-snapshot", title="invention without snapshot", snapshot=False),
)
BY_KEY = {arm.key: arm for arm in (*ARMS, MIRRORED, *ADDED, *REMOVED)}
