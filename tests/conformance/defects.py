"""Deliberately broken controllers: each defect is one plausible mistake, patched into the real one.

`Defect.patches` replaces attributes of controller modules for as long as the block lasts. `cases` is a pattern of the
cases among which at least one must fail. Commands are found through the table that is built for a device, so a defect
of one command wraps what the table would run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, NamedTuple
from unittest.mock import patch

from ccw.crc import crc16
from controller import releasing
from controller.channel import control_unit, inbound, logical_paths
from controller.channel import ending as channel_ending
from controller.channel import owed as channel_owed
from controller.commands import (
    checks,
    device,
    locate,
    orientation,
    positioning,
    release_space,
    reservation,
    subsystem_functions,
)
from controller.commands import writes as write_commands
from controller.commands.chain import Orientation, Permission
from controller.commands.domain import Operation
from controller.commands.outcome import Outcome, UnitCheck
from controller.remote_copy import bridge_receiver, pair_acts, pair_orders, service

Patches = Callable[[ExitStack], None]


class Defect(NamedTuple):
    """One mistake: what it is, how it is made, and which cases are to find it."""

    name: str
    cases: str
    install: Patches


@contextmanager
def installed(defect: Defect) -> Iterator[None]:
    """The controller has the defect inside the block."""
    with ExitStack() as stack:
        defect.install(stack)
        yield


def _attribute(owner: Any, name: str, value: Any) -> Patches:
    return lambda stack: stack.enter_context(patch.object(owner, name, value))


def _rule(code: int, change: Callable[[Any], Any]) -> Patches:
    """Change the row of one command in the table that devices take."""
    original = device.rules_for

    def changed(*arguments: Any, **named: Any) -> dict[int, Any]:
        rules = dict(original(*arguments, **named))
        if code in rules:
            rules[code] = change(rules[code])
        return rules

    return _attribute(device, "rules_for", changed)


def _run(code: int, wrap: Callable[[Any], Any]) -> Patches:
    """Wrap what one command runs: `wrap(run)` gives run(chain, command)."""
    return _rule(code, lambda rule: replace(rule, run=wrap(rule.run)))


def _outcome(change: Callable[[Any, Any, Outcome], None]) -> Patches:
    """Change the outcome of every command of a device: `change(device, command, outcome)`."""
    original = device.Device.execute

    def execute(self: Any, path: Any, command: Any) -> Outcome:
        outcome = original(self, path, command)
        change(self, command, outcome)
        return outcome

    return _attribute(device.Device, "execute", execute)


def _residual_one_less(_device: Any, command: Any, outcome: Outcome) -> None:
    if outcome.residual and command.code == 0x06:
        outcome.residual -= 1


def _lost_status_modifier(_device: Any, command: Any, outcome: Outcome) -> None:
    outcome.status &= ~0x40


def _end_of_file_unseen(_device: Any, _command: Any, outcome: Outcome) -> None:
    if outcome.status == 0x0D:
        outcome.status = 0x0C


def _unit_check_without_ends(_device: Any, _command: Any, outcome: Outcome) -> None:
    if outcome.status == 0x0E:
        outcome.status = 0x02


def _sense_byte(index: int, value: int) -> Patches:
    def change(_device: Any, _command: Any, outcome: Outcome) -> None:
        if outcome.sense:
            image = bytearray(outcome.sense)
            image[index] = value
            outcome.sense = bytes(image)

    return _outcome(change)


def _search_leaves_orientation_before(run: Any) -> Any:
    def search(chain: Any, command: Any) -> Any:
        ending = run(chain, command)
        if ending[0] & 0x40:
            chain.orientation = Orientation.DATA
        return ending

    return search


def _search_prefix_permits(run: Any) -> Any:
    """Every search that is satisfied permits a write, whatever was compared."""

    def search(chain: Any, command: Any) -> Any:
        ending = run(chain, command)
        if ending[0] & 0x40:
            chain.permissions |= Permission.ID_EQUAL
        return ending

    return search


def _short_write_keeps_old(run: Any) -> Any:
    """A short write leaves the rest of the record as it was."""

    def write(chain: Any, command: Any) -> Any:
        records = chain.current_records()
        old = records[chain.current].data if chain.current < len(records) else b""
        short = len(command.data) < len(old)
        return run(chain, command._replace(data=command.data + old[len(command.data) :]) if short else command)

    return write


def _no_erase(run: Any) -> Any:
    """A format write keeps what follows on the track."""

    def write(chain: Any, command: Any) -> Any:
        index = chain.next
        after = list(chain.current_records()[index + 1 :])
        ending = run(chain, command)
        chain.change_records().extend(after)
        return ending

    return write


def _extent_ignored(geometry_check: str) -> Patches:
    def go_to(chain: Any, track: int) -> None:
        chain.seek(track)
        chain.positioned = True

    return _attribute(positioning, geometry_check, go_to)


def _no_raise(module: Any, name: str) -> Patches:
    return _attribute(module, name, lambda *arguments, **named: None)


def _message(name: str, message: int) -> Patches:
    """A check reports another message, in every module that raises it."""
    modules = (checks, device, locate, positioning, write_commands, subsystem_functions)

    def install(stack: ExitStack) -> None:
        for module in modules:
            if hasattr(module, name):
                stack.enter_context(patch.object(module, name, lambda *a, **k: UnitCheck(0x80, 0, message)))

    return install


def _advance_without_end_of_cylinder(chain: Any) -> None:
    chain.seek(chain.track + 1)


def _imprecise_ending_lost() -> Patches:
    def file_protected(*, imprecise: bool = False) -> UnitCheck:
        return UnitCheck(0, 0x04)

    return _attribute(orientation, "file_protected", file_protected)


def _group_not_shared(self: Any, path: Any) -> Any:
    return path


def _release_forgets_device_end(self: Any) -> tuple[Any, ...]:
    return ()


def _path_state_survives_reset(self: Any, path: Any) -> None:
    if self.owner == path:
        self.owner = None


def _other_group_accepted(self: Any, path: Any, group: bytes) -> Any:
    return self._paths.setdefault(path, reservation.PathRecord())


def _crc_not_checked() -> Patches:
    original = inbound.decode_frame

    def decode(payload: bytes, **named: Any) -> Any:
        body = payload[:-2]
        return original(body + crc16(body).to_bytes(2, "big"), **named)

    return _attribute(inbound, "decode_frame", decode)


def _wrong_lpr_reason() -> Patches:
    original = logical_paths.LogicalPaths.admit

    def admit(self: Any, path: Any, header: bytes) -> Any:
        reason = original(self, path, header)
        return 2 if reason == 4 else reason

    return _attribute(logical_paths.LogicalPaths, "admit", admit)


def _prepared_data_kept(run: Any) -> Any:
    def read(chain: Any, command: Any) -> Any:
        data = chain.prepared
        ending = run(chain, command)
        chain.prepared, chain.gate = data, None
        return ending

    return read


def _no_mask_in_formats() -> Patches:
    """Format writes look at nothing of the mask: no value of it forbids them."""
    return _attribute(write_commands, "_NO_FORMAT", frozenset())


def _sense_not_sent() -> Patches:
    def install(stack: ExitStack) -> None:
        for module in (channel_owed, channel_ending):
            stack.enter_context(patch.object(module, "solicited_sense", lambda *arguments: b""))

    return install


def _operations(change: Callable[[dict[Any, Any]], dict[Any, Any]]) -> Patches:
    return _attribute(locate, "_LOCATE_BYTES_VALID", change(dict(locate._LOCATE_BYTES_VALID)))


def _sequence_gap_accepted(sequence: int, expected: int) -> int:
    return 0


def _conversion_ignored() -> Patches:
    return _attribute(write_commands, "CKD_CONVERSION", 0)


def _clear_incomplete() -> Patches:
    return _attribute(device.Device, "_report_incomplete", lambda self, chain, command, outcome: None)


def _any_pair_id() -> Patches:
    original = pair_acts.need_primary
    return _attribute(pair_orders, "need_primary", lambda core, volume, pair_id: original(core, volume, 0))


DEFECTS = (
    Defect("the residual count is one too small", "^RD-", _outcome(_residual_one_less)),
    Defect("status modifier is lost after a search", "^SRC-0", _outcome(_lost_status_modifier)),
    Defect("an end-of-file record ends normally", "^RD-5", _outcome(_end_of_file_unseen)),
    Defect("unit check comes without channel end and device end", "^POS-0", _outcome(_unit_check_without_ends)),
    Defect("sense byte 7 is always zero", "^POS-0", _sense_byte(7, 0)),
    Defect("sense byte 27 says native sense", "^POS-0", _sense_byte(27, 0)),
    Defect("the cylinder is missing in the sense bytes", "^POS-2", _sense_byte(30, 0)),
    Defect("a search leaves the orientation behind the record", "^SRC-", _run(0x31, _search_leaves_orientation_before)),
    Defect("a search for a prefix permits a write", "^SRC-", _run(0x31, _search_prefix_permits)),
    Defect("a short write keeps the rest of the record", "^WR-0[1-3]", _run(0x05, _short_write_keeps_old)),
    Defect("a format write does not erase the rest of the track", "^WR-3[0-3]", _run(0x1D, _no_erase)),
    Defect("the extent is ignored by seeks", "^POS-2", _extent_ignored("go_to")),
    Defect("the file mask is not looked at in Write CKD", "^WR-(19|24)", _no_mask_in_formats()),
    Defect("the file mask is not looked at in Locate Record", "^LR-(3|4)", _no_raise(locate, "_check_authority")),
    Defect("reserved bits of Locate Record are not checked", "^LR-(4|5)", _no_raise(locate, "_check_flags")),
    Defect("an invalid parameter is reported as a short count", "^DX-(0|30)", _message("invalid_parameter", 0x03)),
    Defect(
        "multitrack runs over the end of the cylinder",
        "^RD-",
        _attribute(orientation, "end_of_cylinder", checks.no_record_found),
    ),
    Defect("imprecise ending is not shown", "^DOM-", _imprecise_ending_lost()),
    Defect("an incomplete write domain is not reported", "^DOM-", _clear_incomplete()),
    Defect("CKD conversion is ignored in update writes", "^WR-(7[5-9]|8)", _conversion_ignored()),
    Defect(
        "Orient is not known",
        "^LR-0",
        _operations(lambda table: {k: v for k, v in table.items() if v is not Operation.ORIENT}),
    ),
    Defect("Locate Record works without Define Extent", "^LR-", _no_raise(locate, "_may_locate")),
    Defect(
        "path group state is not shared by its paths",
        "^PTH-5",
        _attribute(reservation.PathTable, "identity", _group_not_shared),
    ),
    Defect(
        "a reservation is ignored",
        "^PTH-3",
        _attribute(reservation.PathTable, "is_reserved_elsewhere", lambda self, path: False),
    ),
    Defect(
        "device end is not owed after busy",
        "^PTH-4[67]",
        _attribute(reservation.PathTable, "take_owed", _release_forgets_device_end),
    ),
    Defect(
        "a system reset keeps the path group id",
        "^PTH-1",
        _attribute(reservation.PathTable, "reset", _path_state_survives_reset),
    ),
    Defect(
        "a path may change its group id", "^PTH-0", _attribute(reservation.PathTable, "_checked", _other_group_accepted)
    ),
    Defect("the CRC is not checked", "^LNK-", _crc_not_checked()),
    Defect("the reason in logical path removed is another", "^LNK-", _wrong_lpr_reason()),
    Defect("prepared data are given twice", "^SUB-", _run(0x3E, _prepared_data_kept)),
    Defect(
        "space that is given back stays",
        "^SPA-0",
        _attribute(releasing.Releases, "complete", lambda self, device, path, command, outcome, reply: reply(outcome)),
    ),
    Defect(
        "the device that an order names is not looked at",
        "^SPA-1",
        _attribute(release_space, "_check", lambda chain, request: None),
    ),
    Defect("sense is not sent with the status", "^SEL-", _sense_not_sent()),
    Defect(
        "every command is treated as immediate",
        "^SEL-",
        _attribute(control_unit, "is_immediate", lambda *arguments: True),
    ),
    Defect(
        "No-Operation is allowed inside a domain", "^(POS|DOM)-", _rule(0x03, lambda rule: replace(rule, domains=~0))
    ),
    Defect(
        "Sense Path Group ID may be followed by commands", "^PTH-2", _rule(0x34, lambda rule: replace(rule, last=False))
    ),
    Defect("Read Count needs no positioning", "^RD-0", _rule(0x12, lambda rule: replace(rule, positioned=False))),
    Defect("a request sequence is not looked at", "^PPO-", _no_raise(service, "check_request_sequence")),
    Defect(
        "another pair id is taken for the pair's",
        "^PAR-20",
        _any_pair_id(),
    ),
    Defect(
        "a gap in a bridge's sequence is not seen",
        "^STR-0",
        _attribute(bridge_receiver, "ahead", _sequence_gap_accepted),
    ),
)
