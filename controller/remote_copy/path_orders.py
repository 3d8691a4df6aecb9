"""Establish Path and Delete Path (D0, D1) from a host, sent to the box that owns the primaries.

Each is a procedure (see `procedure`): it ends when every path has its result, or raises Refused.
Source: pprc-commands 2.2, 4.3, 4.4.
"""

from ccw import pprc
from controller.remote_copy.checks import check_boxes, secondary_box
from controller.remote_copy.core import Core
from controller.remote_copy.pair import BoxName, Pair
from controller.remote_copy.pair_acts import alone
from controller.remote_copy.paths import (
    DEFAULT_ELB_S,
    LINK_ESCON,
    LINK_WAN,
    MAX_ELB_S,
    MAX_PATHS,
    MAX_SECONDARIES,
    PathEntry,
    PathSet,
    establish_path,
    remove_path,
)
from controller.remote_copy.procedure import Procedure
from controller.remote_copy.refusal import bad_parameter, reject
from controller.remote_copy.states import MAX_BRIDGES, BridgeState, Reason

DOWN = (BridgeState.DEFINED, BridgeState.FAILED)  # a bridge that needs no path


def establish_paths(core: Core, order: pprc.EstablishPath) -> Procedure[None]:
    """D0 from a host: replace (or add to) the set of paths to one control-unit image."""
    check_boxes(order.header, core.own, own_is_primary=True)
    _check_bytes(order)
    box = secondary_box(order.header)
    yield from alone(core, box, _establish(core, order, box))


def _establish(core: Core, order: pprc.EstablishPath, box: BoxName) -> Procedure[None]:
    old = core.paths.get(box)
    adding = order.header.selector == 1 and old is not None
    if adding and old is not None and _names_a_bridges_path(old, order):
        raise reject(Reason.PATHS_IN_USE)
    if old is None and len(core.paths.sets) >= MAX_SECONDARIES:
        raise reject(Reason.PATH_COUNT)
    if old is not None and not adding:
        if _is_same_set(core, old, order):
            yield from _complete(core, old, order)
            return
        yield from _give_up(core, old, order)
    new = _entries(order)
    paths = old if adding and old is not None else PathSet(box)
    _take_terms(paths, order)
    kept = [entry for entry in paths.entries if entry.said not in {e.said for e in new}]
    paths.entries = kept + new
    core.paths.sets[box] = paths
    for entry in new:
        yield from establish_path(core.around, core.own, box, entry)
        core.around.log(None, "path", {"said": f"{entry.said:04X}", "status": f"{entry.status:02X}"})
    core.repair()  # what did not come up is tried again
    _store_or_forget(core, paths)
    core.work()
    yield from core.hardened()


def _check_bytes(order: pprc.EstablishPath) -> None:
    """Values that this box does not know, lowest offset first. Raises Refused."""
    if order.link_type not in (LINK_ESCON, LINK_WAN):
        raise bad_parameter(40)
    if not 1 <= order.path_count <= MAX_PATHS:
        raise reject(Reason.PATH_COUNT)
    if order.purpose > 2:
        raise bad_parameter(42)
    if (order.bridge_number != 0) != (order.purpose != 0) or order.bridge_number > MAX_BRIDGES:
        raise bad_parameter(43)
    if order.elb_seconds > MAX_ELB_S:
        raise bad_parameter(44)


def _names_a_bridges_path(old: PathSet, order: pprc.EstablishPath) -> bool:
    named = {wanted.said for wanted in order.paths}
    return any(entry.purpose and entry.said in named for entry in old.entries)


def _entries(order: pprc.EstablishPath) -> list[PathEntry]:
    """What the order wants, not established yet."""
    return [
        PathEntry(
            wanted.said,
            wanted.link_address,
            wanted.cu_image,
            wanted.secondary_port,
            purpose=order.purpose,
            bridge=order.bridge_number,
            link_type=order.link_type,
        )
        for wanted in order.paths
    ]


def _store_or_forget(core: Core, paths: PathSet) -> None:
    """Keep the definition if a path works, or pairs need one. Raises Refused (47) when none works."""
    works = bool(paths.good())
    if works or _pairs_with(core, paths):
        core.records.store_paths(paths)
    else:
        del core.paths.sets[paths.box]
        core.records.forget_paths(paths.box)
    if not works:
        raise reject(Reason.NO_WORKING_PATH, path_status=int(paths.entries[-1].status))


def _take_terms(paths: PathSet, order: pprc.EstablishPath) -> None:
    """What the order says of all paths together."""
    paths.cgroup = bool(order.header.flags & pprc.PathFlag.CONSISTENCY_GROUP)
    paths.elb_seconds = order.elb_seconds or DEFAULT_ELB_S


def _is_same_set(core: Core, old: PathSet, order: pprc.EstablishPath) -> bool:
    """Does the order name just the paths that there are, while a bridge lives on them?"""
    here = {(entry.said, entry.link_address, entry.image) for entry in old.entries}
    lives = any(bridge.box == old.box and bridge.worker.state not in DOWN for bridge in core.sending.values())
    return lives and here == {(wanted.said, wanted.link_address, wanted.cu_image) for wanted in order.paths}


def _complete(core: Core, old: PathSet, order: pprc.EstablishPath) -> Procedure[None]:
    """The order changes nothing but what holds for all paths, and those that do not work: they are established."""
    _take_terms(old, order)
    core.records.store_paths(old)
    for entry in old.entries:
        if not entry.good and not entry.turned:
            yield from establish_path(core.around, core.own, old.box, entry)
    core.paths.need(old.box)
    yield from core.hardened()


def _give_up(core: Core, old: PathSet, order: pprc.EstablishPath) -> Procedure[None]:
    """The set is replaced: bridges that live on it must be down."""
    for bridge in core.sending.values():
        if bridge.box == old.box and bridge.worker.state not in DOWN:
            raise reject(Reason.PATHS_IN_USE)
    wanted = {descriptor.said for descriptor in order.paths}
    for entry in old.good():
        if entry.said not in wanted:
            yield from remove_path(core.around, entry)


def _pairs_with(core: Core, paths: PathSet) -> list[Pair]:
    return [pair for pair in core.primaries.values() if pair.secondary.box == paths.box]


def delete_paths(core: Core, order: pprc.DeletePath) -> Procedure[None]:
    """D1: all paths of a set, or the listed ones. Live pairs never lose their last path this way."""
    check_boxes(order.header, core.own, own_is_primary=True)
    box = secondary_box(order.header)
    yield from alone(core, box, _delete(core, order, box))


def _delete(core: Core, order: pprc.DeletePath, box: BoxName) -> Procedure[None]:
    paths = core.paths.get(box)
    if paths is None:
        raise reject(Reason.NO_PATH_SET)
    listed = {descriptor.said for descriptor in order.paths}
    going = [e for e in paths.entries if order.header.selector == 0 or e.said in listed]
    staying = [e for e in paths.good() if e not in going]
    in_use = any(entry.purpose for entry in going)
    if in_use or (_pairs_with(core, paths) and not staying):
        raise reject(Reason.PATHS_IN_USE)
    for entry in going:
        yield from remove_path(core.around, entry)
        paths.entries.remove(entry)
    if paths.entries:
        core.records.store_paths(paths)
    else:
        del core.paths.sets[paths.box]
        core.records.forget_paths(paths.box)
    yield from core.hardened()
