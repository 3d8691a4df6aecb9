"""Sense bytes as one line for people. Source: eckd-commands 4.2-4.3 by way of ccw/sense.py; pprc-commands 6.4."""

from ccw.sense import SenseByte0, SenseByte1, SenseByte2, is_compatible

STATUS_NOT_AS_REQUIRED = 0x0F
OFFSET_KNOWN = frozenset({0x04, STATUS_NOT_AS_REQUIRED})  # messages whose byte 9 may point at a parameter byte
NO_OFFSET = 0xFF
NO_WORKING_PATH, PEER_REFUSED = 0x47, 0x5B

# Reasons of message 0F.
REASONS = {
    0x40: "PPRC not enabled",
    0x41: "already a primary",
    0x42: "already a secondary",
    0x43: "not in a pair",
    0x44: "device or pair id is not the one named",
    0x45: "state does not allow the request",
    0x46: "no path set to that control-unit image",
    0x47: "no working path",
    0x48: "SSID, LSS or serial not as named",
    0x49: "geometry or size",
    0x4A: "secondary online",
    0x4B: "secondary reserved",
    0x4C: "bridge volume, internal use only",
    0x4D: "not defined as a bridge for that role",
    0x4E: "bridge number in use or over 8",
    0x4F: "bridge needs two paths",
    0x50: "status bridge not defined",
    0x51: "volume synchronisation queue full",
    0x52: "snapshot conflict",
    0x53: "freeze in effect",
    0x54: "run without freeze",
    0x55: "recover to a device that is not a secondary",
    0x56: "volume serial does not match",
    0x57: "critical state, writes inhibited",
    0x59: "path count over the limit",
    0x5A: "delete refused, paths blocked",
    0x5B: "peer refused",
    0x5C: "peer time out",
    0x5D: "request sequence replayed",
    0x5E: "paths in use by pairs",
    0x5F: "primary and secondary are the same image",
    0x60: "bridge header invalid",
    0x61: "bridge header CRC",
    0x62: "destination is not the secondary of that pair",
    0x63: "sequence gap",
    0x64: "decompression failed",
    0x65: "track image invalid",
    0x66: "payload CRC",
    0x67: "bridge not established",
    0x68: "no credit",
    0x69: "destination suspended",
    0x6A: "back-end space exhausted",
    0x6B: "snapshot id unknown",
    0x6C: "status packet invalid",
}

# Program action codes of the 32-byte layout: what the host does now.
ACTIONS = {
    0x00: "none",
    0x01: "permanent error",
    0x02: "intervention required",
    0x0F: "length mismatch",
    0x10: "not related to this program: start again",
    0x1D: "state change pending: wait for attention",
    0x1E: "busy: wait briefly",
}

# Format 0 messages.
MESSAGES = {
    0x01: "invalid command",
    0x02: "invalid command sequence",
    0x03: "CCW count less than required",
    0x04: "invalid parameter",
    0x05: "command violates file mask",
    0x08: "reset notification",
    0x0E: "command invalid on secondary address",
    0x0F: "status not as required",
    0xFB: "volume is suspended duplex",
    0xF5: "remote copy paths removed or restored",
}


def describe_sense(sense: bytes) -> str:
    """One line: the condition bits by name, the message, the reason. Shorter than 24 bytes: the bytes in hex."""
    if len(sense) < 24:
        return sense.hex(" ").upper()
    if not is_compatible(sense.ljust(32, b"\0")):
        parts = [name for flags in _conditions(sense[:2]) for name in flags]  # byte 2 is the control unit's code
        action = f", program action {sense[25]:02X} {ACTIONS.get(sense[25], '')}".rstrip() if len(sense) > 25 else ""
        return ", ".join([*parts, f"32-byte sense{action}"])
    parts = [name for flags in _conditions(sense) for name in flags]
    message = sense[7]
    if message:
        parts.append(f"message {message:02X} {MESSAGES.get(message, '')}".rstrip())
    if message == STATUS_NOT_AS_REQUIRED:
        parts.append(f"reason {sense[8]:02X} {REASONS.get(sense[8], '')}".rstrip())
        parts += _details(sense)
    if message in OFFSET_KNOWN and sense[9] not in (0, NO_OFFSET):
        parts.append(f"parameter byte {sense[9]}")
    return ", ".join(parts) or "no condition"


def _details(sense: bytes) -> list[str]:
    """What more the sense of a refused PPRC order tells: the peer's own refusal, the status of a path."""
    if sense[8] == PEER_REFUSED and sense[10]:
        why = REASONS.get(sense[11], "") if sense[10] == STATUS_NOT_AS_REQUIRED else MESSAGES.get(sense[10], "")
        return [f"which said {sense[10]:02X}{sense[11]:02X} {why}".rstrip()]
    return [f"path status {sense[15]:02X}"] if sense[8] == NO_WORKING_PATH and sense[15] else []


def _conditions(sense: bytes) -> list[list[str]]:
    found = []
    for value, names in zip(sense, (SenseByte0, SenseByte1, SenseByte2), strict=False):
        members = [names(0x80 >> bit) for bit in range(8) if value & 0x80 >> bit]
        found.append([str(member.name).lower().replace("_", " ") for member in members])
    return found
