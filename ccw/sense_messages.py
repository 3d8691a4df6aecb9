"""What the numbers in sense data mean: (format, message) of byte 7, program action codes, exception classes; and the
bytes that formats 4 and 5 put into 8-23.

Source: eckd-commands 4.3 and 4.5.2: Linux error recovery, IBM 3990 Storage Control Reference by way of Hercules, EMC
product guide; texts condensed, ours. Layout of bytes 13-22 of formats 4 and 5: assumed.
"""

from __future__ import annotations

from dataclasses import dataclass

from construct import Byte, Bytes, Int16ub, Struct

from ccw.layout import FixedFormat, Layout

FORMATS = {
    0x0: "program or system check", 0x1: "device equipment check", 0x2: "storage director equipment check",
    0x3: "control unit check", 0x4: "data check without displacement", 0x5: "data check with displacement",
    0x6: "usage and overrun statistics", 0x7: "device control check", 0x8: "path or microcode check",
    0x9: "device read or write check", 0xF: "cache storage check",
}
_FIELDS = ("home address", "count", "key", "data")

MESSAGES: dict[tuple[int, int], str] = {
    (0x0, 0x0): "no message", (0x0, 0x1): "invalid command", (0x0, 0x2): "invalid command sequence",
    (0x0, 0x3): "CCW count less than required", (0x0, 0x4): "invalid parameter",
    (0x0, 0x5): "diagnostic or special command not allowed by the file mask",
    (0x0, 0x7): "channel returned a wrong CCW at command retry", (0x0, 0x8): "reset notification",
    (0x0, 0x9): "storage path restart", (0x0, 0xA): "channel requested a retry or detected an error",
    (0x0, 0xB): "pointer to defective or alternate track not valid", (0x0, 0xC): "dynamic path selection check",
    (0x0, 0xD): "summary unit check", (0x0, 0xE): "command invalid on secondary address",
    (0x0, 0xF): "status not as required",
    (0x1, 0x0): "no message", (0x1, 0x1): "device status 1 not as expected", (0x1, 0x3): "index missing",
    (0x1, 0x4): "interruption cannot be reset", (0x1, 0x5): "no response to selection",
    (0x1, 0x6): "check-2 or set sector incomplete", (0x1, 0x7): "head address miscompare",
    (0x1, 0x8): "device status 1 not valid", (0x1, 0x9): "device not ready", (0x1, 0xA): "track address miscompare",
    (0x1, 0xB): "address bit missing", (0x1, 0xC): "motor switch off", (0x1, 0xD): "seek incomplete",
    (0x1, 0xE): "cylinder address miscompare", (0x1, 0xF): "offset active cannot be reset",
    (0x2, 0x8): "check-2", (0x2, 0xE): "support facility", (0x2, 0xF): "microcode-detected",
    (0x3, 0xF): "allegiance ended by another system",
    **{(0x4, n): f"{field}" for n, field in enumerate(_FIELDS)},
    **{(0x4, 4 + n): f"no synchronisation in {field}" for n, field in enumerate(_FIELDS)},
    **{(0x4, 8 + n): f"{field}, offset active" for n, field in enumerate(_FIELDS)},
    **{(0x4, 12 + n): f"no synchronisation in {field}, offset active" for n, field in enumerate(_FIELDS)},
    **{(0x5, n): f"{field}" for n, field in enumerate(_FIELDS)},
    **{(0x5, 8 + n): f"{field}, offset active" for n, field in enumerate(_FIELDS)},
    **{(0x6, n): f"channel {'ABCDEFGH'[n]}" for n in range(8)},
    (0x7, 0x0): "connection check alert", (0x7, 0x1): "RCC 1 failed", (0x7, 0x2): "RCC 1 and 2 failed",
    (0x7, 0x3): "invalid tag-in at selection", (0x7, 0x4): "extra RCC", (0x7, 0x5): "invalid response or timeout",
    (0x7, 0x6): "missing end operation", (0x7, 0x7): "missing end operation", (0x7, 0x8): "invalid tag-in",
    (0x7, 0x9): "invalid tag-in", (0x7, 0xA): "microcode timeout", (0x7, 0xB): "no response after poll",
    (0x7, 0xC): "permanent path error", (0x7, 0xD): "controller not available",
    (0x8, 0x1): "ECC hardware", (0x8, 0x3): "unexpected end code", (0x8, 0x4): "end count not zero",
    (0x8, 0x5): "end count zero", (0x8, 0x6): "path-selection checks after reset",
    (0x8, 0x7): "path-selection array cannot be filled", (0x8, 0x8): "short-busy timeout",
    (0x8, 0x9): "long-busy latch stuck", (0x8, 0xA): "no interruption",
    (0x9, 0x0): "status", (0x9, 0x6): "check-2", (0x9, 0x7): "head address miscompare",
    (0x9, 0xA): "track address miscompare", (0x9, 0xE): "cylinder address miscompare",
    (0xF, 0x0): "operation ended", (0xF, 0x1): "subsystem processing error", (0xF, 0x2): "cache or NVS failure",
    (0xF, 0x4): "caching ended", (0xF, 0x5): "remote copy paths removed or restored",
    (0xF, 0x6): "cache fast write identifier not authorised", (0xF, 0x7): "track format incorrect",
    (0xF, 0x9): "caching restarted", (0xF, 0xA): "NVS ended", (0xF, 0xB): "duplex pair suspended",
    (0xF, 0xC): "status cannot be determined", (0xF, 0xD): "caching reset to default",
    (0xF, 0xE): "DASD fast write inhibited",
}

# Format 0 with "message to operator" on. The two readings are keyed the other way round by some sources.
OPERATOR_MESSAGES = {0x1: "device error source", 0x3: "device fenced", 0x4: "data pinned"}
MESSAGE_CODES = {0x17: "inhibit write", 0x25: "wait 5 s"}     # byte 28 of the native layout, where byte 25 points to it

ACTIONS = {
    0x00: "none", 0x01: "permanent error, no retry", 0x02: "intervention required, wait for an interruption",
    0x03: "intervention required, wait for an interruption", 0x0F: "length mismatch, restart with the real length",
    0x10: "not related to this program: log and restart", 0x15: "next track outside the extent: extend and restart",
    0x1B: "unexpected condition in a write domain: restart from the sense data", 0x1C: "data not valid",
    0x1D: "state change pending: wait", 0x1E: "busy: wait briefly",
}
EXCEPTION_CLASSES = {0x0: "program", 0x4: "device", 0xE: "subsystem"}


def message_text(format_message: int) -> str:
    """Byte 7 of the 24-byte layout in words: `format: message`; numbers where there is no name."""
    sense_format, message = divmod(format_message & 0xFF, 16)
    name = FORMATS.get(sense_format, f"format {sense_format:X}, reserved")
    return f"{name}: {MESSAGES.get((sense_format, message), f'message {message:X}, reserved')}"


def action_text(action: int) -> str:
    """Byte 25 of the native layout in words."""
    if action & 0x80:
        parts = [f"retry {(1, 2, 10, 256)[action & 3]} times"]
        parts += [text for bit, text in ((0x10, "use another path"), (0x20, "see message code"),
                                         (0x40, "configuration change")) if action & bit]
        return ", ".join(parts)
    return ACTIONS.get(action, f"action {action:02X}, reserved")


@dataclass(frozen=True, slots=True)
class DataCheckDetail(FixedFormat):
    """Bytes 8-23 of the 24-byte layout in formats 4 and 5."""

    record: bytes
    sector: int
    reserved_14: int
    restart_displacement: bytes
    error_displacement: int
    error_pattern: bytes
    reserved_23: int


DataCheckDetail.LAYOUT = Layout("data check detail", DataCheckDetail, Struct(
    "record" / Bytes(5) * "CCHHR of the record in error",               # 0-4: sense bytes 8-12
    "sector" / Byte,                                                    # 5: 13
    "reserved_14" / Byte,                                               # 6: 14
    "restart_displacement" / Bytes(3) * "a number",                     # 7-9: 15-17
    "error_displacement" / Int16ub,                                     # 10-11: 18-19
    "error_pattern" / Bytes(3) * "format 5 only",                       # 12-14: 20-22
    "reserved_23" / Byte,                                               # 15: 23
), 16)
