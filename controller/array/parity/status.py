"""How an array is, for people and machines: plain values that become JSON as they are."""

from typing import Any

from controller.array.parity.disk import ParityDisk
from controller.array.parity.repair import Rebuild
from controller.array.parity.state import Condition


def status_of(disk: ParityDisk) -> dict[str, Any]:
    """The array and each of its devices. `spare`: how many more devices may be lost; negative: fenced.

    `decoded`: chunks that had to be decoded since the array was opened because this device did not have them, or not
    as they were written. `suspects`: stripes of which a scrub would repair chunks.
    """
    with disk.lock:
        members = disk.state.members
        devices = []
        for device, member in zip(disk.devices.devices, members, strict=True):
            entry: dict[str, Any] = {"device": device.name, "state": member.condition.name.lower()}
            if member.condition == Condition.OUT:
                entry["why"] = device.why
            entry["decoded"] = device.reconstructed
            devices.append(entry)
        rebuild = Rebuild(disk).progress()
        whole = sum(member.condition == Condition.IN for member in members)
        return {
            "array": f"{disk.label.array:016X}",
            "parity": disk.code.parity,
            "degraded": disk.degraded,
            "fenced": disk.fenced,
            "spare": whole - disk.code.data,
            "rebuild": {"done_bytes": rebuild.done, "total_bytes": rebuild.total},
            "suspects": len(disk.stripes.suspects),
            "segments": len(disk.state.segments),
            "devices": devices,
        }
