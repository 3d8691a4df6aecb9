"""Runs the steps of a script in a session and reports each as plain values.

A report has `line`, `command`, `ok`, and by command: `unit_status`, `channel_status`, `residual`; `sense` and
`sense_text` with unit check; `asked`, the count of the last CCW; `stopped_at`, where a chain did not reach its end;
`problem` when the link failed; `data` (hex) for reads; the fields of query replies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

import trio

from ccw.describe import command_name
from ccw.errors import FormatError
from ccw.geometry import Cchh
from ccw.link_control import NodeDescriptor
from ccw.pprc_flags import PairFlag
from ccw.pprc_query import PathReport, QueueReport, VolumeQuery
from host_emulator import orders
from host_emulator.channel import ChannelProgram, InterfaceControlCheck, ProgramResult
from host_emulator.script import Step
from host_emulator.sense_text import describe_sense
from host_emulator.session import HostSession

Report = dict[str, Any]
DUPLEX = 0x02
COMES_BACK = (0x01, 0x06, 0x08, 0x09)  # pending; suspended by a failure, which a system may get over by itself
POLL_S = 0.1

STATES = {0x00: "simplex", 0x01: "pending", 0x02: "duplex", **dict.fromkeys(range(3, 11), "suspended")}


async def run_step(session: HostSession, step: Step) -> Report:
    """Run one step. Never raises for what the target does."""
    report: Report = {"line": step.line, "command": step.verb, "ok": False}
    try:
        if step.verb == "wait-duplex":
            await _wait_duplex(session, step, report)
        elif step.verb == "selective-reset":
            await session.selective_reset(step.options["device"])
            report["ok"] = True
        elif step.verb == "identify":
            report.update(plain(NodeDescriptor.decode(await session.identify())))
            report["ok"] = True
        else:
            await _run_program(session, step, report)
    except (InterfaceControlCheck, FormatError) as error:
        report["ok"] = False
        report["problem"] = str(error)
    return report


async def _run_program(session: HostSession, step: Step, report: Report) -> None:
    result = await session.run_program(step.options["device"], program_for(step))
    report.update(ending(result))
    if not result.completed:
        return
    if step.verb in _REPLIES:
        report.update(plain(_REPLIES[step.verb](result.data)))
        if "state" in report:
            report["state_name"] = STATES.get(report["state"], "unknown")
    elif result.data:
        report["data"] = result.data.hex().upper()


_REPLIES: Mapping[str, Callable[[bytes], Any]] = {
    "query pair": VolumeQuery.decode,
    "query paths": PathReport.decode,
    "query queue": QueueReport.decode,
}


async def _wait_duplex(session: HostSession, step: Step, report: Report) -> None:
    """Ask for the pair's state until it is duplex; a simplex volume, or one that a command has suspended, never is."""
    report["problem"] = f"not duplex within {step.options['timeout']:g} s"
    with trio.move_on_after(step.options["timeout"]):
        while True:
            result = await session.run_program(step.options["device"], orders.query(orders.SCOPE_VOLUME))
            if not result.completed:
                report.update(ending(result), problem="the query was refused")
                return
            reply = VolumeQuery.decode(result.data)
            state_name = STATES.get(reply.state, "unknown")
            report.update(state=reply.state, state_name=state_name, percent=reply.percent_in_sync)
            if reply.state == DUPLEX:
                report["ok"] = True
                del report["problem"]
                return
            if reply.state not in COMES_BACK:
                report["problem"] = f"the volume is {state_name} and is not being copied"
                return
            await trio.sleep(POLL_S)


def ending(result: ProgramResult) -> Report:
    """How a program ended, as plain values."""
    report: Report = {
        "ok": result.completed,
        "unit_status": f"{result.unit_status:02X}",
        "channel_status": f"{result.channel_status:02X}",
        "residual": result.residual,
    }
    if result.executed:
        report["asked"] = result.executed[-1].start.count
        if not result.completed and len(result.executed) > 1:
            code = result.executed[-1].start.code
            report["stopped_at"] = f"{command_name(code)} ({code:02X}), command {len(result.executed)}"
    if result.sense:
        report["sense"] = result.sense.hex().upper()
        report["sense_text"] = describe_sense(result.sense)
    if result.problem:
        report["problem"] = result.problem
    return report


def program_for(step: Step) -> ChannelProgram:
    """The channel program of a step. KeyError for a step that has none."""
    return _PROGRAMS[step.verb](step.options)


def _establish_pair(given: Mapping[str, Any]) -> ChannelProgram:
    flags = PairFlag(0)
    for name, flag in (
        ("crit", PairFlag.CRITICAL),
        ("msgreq", PairFlag.MESSAGE_REQUIRED),
        ("onlinsec", PairFlag.ONLINE_SECONDARY),
    ):
        flags |= flag if given[name] else 0
    role, number = given["bridge"]
    return orders.pprc(
        orders.establish_pair(
            *_pair(given),
            mode=given["mode"],
            pace=given["pace"],
            bridge_role=role,
            bridge_number=number,
            flags=int(flags),
        )
    )


def _pair(given: Mapping[str, Any]) -> tuple[orders.System, orders.System, int, int]:
    return given["primary"], given["secondary"], given["device"], given["secondary-device"]


def _recover(given: Mapping[str, Any]) -> ChannelProgram:
    """The order goes to the secondary's device, which is `device` here."""
    order = orders.recover_pair(
        given["primary"],
        given["secondary"],
        given["primary-device"],
        given["device"],
        old_serial=given["old-serial"],
        new_serial=given["new-serial"],
    )
    return orders.pprc(order)


def _track(given: Mapping[str, Any]) -> Cchh:
    return Cchh(given["cylinder"], given["head"])


def _format(given: Mapping[str, Any]) -> ChannelProgram:
    record = orders.NewRecord(bytes((given["fill"],)) * given["length"])
    return orders.format_track(_track(given), [record] * given["records"])


_PROGRAMS: Mapping[str, Callable[[Mapping[str, Any]], ChannelProgram]] = {
    "establish-path": lambda o: orders.pprc(
        orders.establish_path(o["primary"], o["secondary"], o["links"], consistency_group=o["cgroup"])
    ),
    "delete-path": lambda o: orders.pprc(orders.delete_path(o["primary"], o["secondary"])),
    "define-bridge": lambda o: orders.pprc(orders.define_bridge(o["system"], o["device"], o["role"], o["number"])),
    "establish-pair": _establish_pair,
    "suspend": lambda o: orders.pprc(orders.suspend_pair(*_pair(o))),
    "recover": _recover,
    "freeze": lambda o: orders.pprc(
        orders.consistency_group(o["primary"], o["secondary"], seconds=o["seconds"])
    ),
    "run": lambda o: orders.pprc(orders.consistency_group(o["primary"], o["secondary"], run=True)),
    "delete-pair": lambda o: orders.pprc(orders.delete_pair(*_pair(o), unconditional=o["unconditional"])),
    "query pair": lambda o: orders.query(orders.SCOPE_VOLUME),
    "query paths": lambda o: orders.query(orders.SCOPE_PATHS),
    "query queue": lambda o: orders.query(orders.SCOPE_QUEUE),
    "read-record": lambda o: orders.read_record(_track(o), o["record"]),
    "write-record": lambda o: orders.write_record(_track(o), o["record"], o["data"]),
    "read-track": lambda o: orders.read_track(_track(o)),
    "format": _format,
    "sense": lambda o: orders.sense(),
    "sense-id": lambda o: orders.sense_id(),
    "read-characteristics": lambda o: orders.read_device_characteristics(),
    "read-configuration": lambda o: orders.read_configuration_data(),
}


HEXADECIMAL = {"ssid": 4, "lss": 2, "cca": 2, "said": 4}  # fields, by the end of their name, and their digits
EBCDIC_TEXTS = ("identity", "serial")


def plain(value: Any) -> Any:
    """A decoded value as what JSON has: dataclasses as objects, reserved fields left away.

    Bytes are hex; subsystem identifiers and addresses are too, as people write them; identities are text.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {name: _field(str(name), item) for name, item in value.items() if not str(name).startswith("reserved")}
    if isinstance(value, bytes):
        return value.hex().upper()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def _field(name: str, value: Any) -> Any:
    digits = HEXADECIMAL.get(name.rpartition("_")[2])
    if digits and isinstance(value, int):
        return f"{value:0{digits}X}"
    if name.rpartition("_")[2] in EBCDIC_TEXTS and isinstance(value, bytes) and any(value):
        return value.decode("cp037")
    return plain(value)
