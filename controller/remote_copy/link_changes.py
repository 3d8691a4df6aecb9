"""What the loss and the return of a link mean for the paths and bridges on it.

ESCON: its paths are offline (08), bridges on it have failed.
WAN: its paths are down (22) until the connection is made again, and identified anew. Bridges on it are interrupted: the
primary's sender goes on behind what is acknowledged, the secondary's with the status that is not confirmed. A primary
that waits for status too long gives its bridge up, as ever; a secondary does when its primary does not come back.
Source: pprc-commands 2.7, 8.3, 8.4; RESUME_LIMIT_S project-defined.
"""

from functools import partial

from controller.remote_copy.bridge_acceptance import drop_secondary_bridge
from controller.remote_copy.core import Core, PrimaryBridge, SecondaryBridge
from controller.remote_copy.pair import BoxName
from controller.remote_copy.paths import CHECKED_DEVICE, PathEntry, establish_path
from controller.remote_copy.procedure import Procedure, run
from controller.remote_copy.states import PathStatus

RESUME_LIMIT_S = 60.0
DOWN = frozenset({PathStatus.WAN_LINK_DOWN, PathStatus.WAN_REFUSED})


def link_lost(core: Core, said: int) -> None:
    """The link of a port is gone."""
    port = core.around.links.get(said)
    if port is not None and port.wan:
        _interrupted(core, said)
        return
    lost = [entry for _, entry in core.paths.link_lost(said)]
    for bridge in core.sending.values():
        if bridge.worker.sender is not None and any(
            entry is bridge.data_path or entry is bridge.status_path for entry in lost
        ):
            bridge.worker.sender.fail(f"link of port {said:04X} lost")
    for receiving in list(core.receiving.values()):
        if said in _ports_of(receiving):
            drop_secondary_bridge(core, receiving, f"link of port {said:04X} lost")


def _ports_of(bridge: SecondaryBridge) -> tuple[int, int]:
    status = bridge.status_path
    return bridge.data_said, status.said if status is not None else -1


def _interrupted(core: Core, said: int) -> None:
    for paths in core.paths:
        for entry in paths.entries:
            if entry.said == said and entry.good:
                entry.status = PathStatus.WAN_LINK_DOWN
    for bridge in core.sending.values():
        sender, data = bridge.worker.sender, bridge.data_path
        if sender is not None and data is not None and data.said == said:
            sender.interrupted = True
            core.around.log(None, "bridge interrupted", {"bridge": bridge.number, "said": f"{said:04X}"})
    now = core.around.clock.now()
    for receiving in core.receiving.values():
        if said in _ports_of(receiving):
            if (path := receiving.status_path) is not None and path.said == said:
                path.status = PathStatus.WAN_LINK_DOWN
            receiving.down[said] = now
            give_up = partial(_give_up, core, receiving, said, now)
            core.around.timers.call_at(now + RESUME_LIMIT_S, give_up)


def _give_up(core: Core, bridge: SecondaryBridge, said: int, lost: float) -> None:
    """Nothing happens when the link has come back since, even if it was lost again."""
    if bridge.down.get(said) == lost and core.receiving.get(bridge.number) is bridge:
        drop_secondary_bridge(core, bridge, f"link of port {said:04X} did not come back")


def link_made(core: Core, said: int) -> None:
    """A port has a link (again): paths of wide-area links are established anew, and what was interrupted goes on."""
    turned = {}
    for receiving in core.receiving.values():
        receiving.down.pop(said, None)
        path = receiving.status_path
        if path is not None and path.said == said and path.status is PathStatus.WAN_LINK_DOWN:
            turned[id(path)] = receiving, path  # once, however many bridges share it
    for receiving, path in turned.values():
        run(_resume_status(core, receiving, path), lambda _: None)
    for paths in core.paths:
        for entry in paths.entries:
            if entry.said == said and entry.status in DOWN and not entry.turned:
                run(_resume_path(core, paths.box, entry), lambda _: None)


def _resume_path(core: Core, box: BoxName, entry: PathEntry) -> Procedure[None]:
    bridge = next((bridge for bridge in core.sending.values() if bridge.data_path is entry), None)
    yield from _again(core, box, entry, CHECKED_DEVICE if bridge is None else bridge.secondary_volume)
    if not entry.good:
        return
    for bridge in core.sending.values():
        if bridge.data_path is entry:
            _resume_bridge(core, bridge, entry)
    core.work()


def _resume_bridge(core: Core, bridge: PrimaryBridge, entry: PathEntry) -> None:
    port = core.around.links.get(entry.said)
    sender = bridge.worker.sender
    if sender is not None and port is not None and port.link is not None:
        core.around.log(None, "bridge goes on", {"bridge": bridge.number, "behind": sender.acknowledged})
        sender.resume(port.link)


def _resume_status(core: Core, bridge: SecondaryBridge, entry: PathEntry) -> Procedure[None]:
    partner = bridge.status_partner
    yield from _again(core, bridge.primary_volume.box, entry, CHECKED_DEVICE if partner is None else partner.cca)
    port = core.around.links.get(entry.said)
    if not entry.good or port is None or port.link is None:
        return
    for sharing in core.receiving.values():
        if sharing.status_path is entry:
            core.around.log(None, "status goes on", {"bridge": sharing.number})
            sharing.receiver.status.resume(port.link)


def _again(core: Core, box: BoxName, entry: PathEntry, device: int) -> Procedure[None]:
    """Establish the path anew. One whose link is lost meanwhile stays down until the next.

    The bridge volume behind it is asked who it is: another device may be busy with the write that waits for the path.
    """
    yield from establish_path(core.around, core.own, box, entry, device)
    fields = {"said": f"{entry.said:04X}", "status": f"{entry.status:02X}"}
    core.around.log(None, "path", fields)
    if not entry.good and entry.status not in (PathStatus.SERIAL_MISMATCH, PathStatus.SSID_MISMATCH):
        entry.status = PathStatus.WAN_LINK_DOWN
