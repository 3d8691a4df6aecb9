"""How remote copy says no: a refusal that becomes 32 sense bytes.

 off  len  content
   0    1  80 command reject
   1    1  02 write inhibited (a write held back), else zero
   2    1  10 environmental data present (formats FB, F5), else zero
   3    1  zero
   4    1  device address (CCA)
   5    1  low-order cylinder
   6    1  high-order cylinder (4 bits), head (4 bits)
   7    1  format and message: 01-04 parameter errors, 0E secondary address, 0F reason in byte 8, FB suspended
   8    1  reason
   9    1  offset of the offending parameter byte, FF = none
  10    2  the peer's bytes 7-8 when the reason is 5B
  12    2  secondary SSID
  14    1  secondary CCA
  15    1  status of the last failing path
  16    4  pair id
  20    2  own SSID
  22    2  symptom code Dnrr: n low digit of the order, rr reason
  24    3  zero
  27    1  80: 24-byte compatible sense
  28    4  expected bridge sequence (reasons 61, 63, 68)
Source: pprc-commands 6.1 (bytes 0-8 and 27 sourced there, 9-26 and 28-31 project-defined).
"""

from dataclasses import dataclass

from controller.commands.outcome import Outcome
from controller.remote_copy.states import Reason

COMMAND_REJECT = 0x80
STATUS_UNIT_CHECK_END = 0x0E  # channel end, device end, unit check
STATUS_DEVICE_END_CHECK = 0x06  # the same after an earlier channel end
WRITE_INHIBITED = 0x02
FORMAT_SHORT = 0x03
FORMAT_PARAMETER = 0x04
FORMAT_SECONDARY = 0x0E
FORMAT_REASON = 0x0F
FORMAT_SUSPENDED = 0xFB
NO_POINTER = 0xFF


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refused request; fields as the table above."""

    format_message: int
    reason: int = 0
    pointer: int = NO_POINTER
    byte0: int = COMMAND_REJECT
    byte1: int = 0
    byte2: int = 0
    cca: int = 0
    peer: int = 0
    secondary_ssid: int = 0
    secondary_cca: int = 0
    path_status: int = 0
    pair_id: int = 0
    own_ssid: int = 0
    order: int = 0
    expected: int = 0

    def sense(self) -> bytes:
        """The 32 sense bytes."""
        image = bytearray(32)
        image[0], image[1], image[2] = self.byte0, self.byte1, self.byte2
        image[4] = self.cca
        image[7], image[8] = self.format_message, self.reason
        image[9] = self.pointer
        image[10:12] = self.peer.to_bytes(2, "big")
        image[12:14] = self.secondary_ssid.to_bytes(2, "big")
        image[14], image[15] = self.secondary_cca, self.path_status
        image[16:20] = self.pair_id.to_bytes(4, "big")
        image[20:22] = self.own_ssid.to_bytes(2, "big")
        if self.reason:
            image[22], image[23] = 0xD0 | self.order & 0x0F, self.reason
        image[27] = 0x80
        image[28:32] = self.expected.to_bytes(4, "big")
        return bytes(image)

    def outcome(self, status: int = STATUS_UNIT_CHECK_END, residual: int = 0) -> Outcome:
        """The command outcome that carries this refusal."""
        return Outcome(status=status, residual=residual, sense=self.sense())


LONG_BUSY = Refusal(0)  # state change pending: the device builds that sense, which has another layout
EQUIPMENT_CHECK = Refusal(0x10, byte0=0x10)  # format 1: the array cannot make it durable


class Refused(Exception):
    """Raised inside remote copy to leave a request; caught in one place, `service.RemoteCopy.order`."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
        super().__init__(
            f"sense {refusal.format_message:02X} reason {refusal.reason:02X} pointer {refusal.pointer:02X}"
        )


def reject(reason: Reason, **fields: int) -> Refused:
    """Format 0 message F with a reason: the state of things does not allow the request."""
    return Refused(Refusal(FORMAT_REASON, int(reason), **fields))


def bad_parameter(pointer: int) -> Refused:
    """Format 0 message 4: the parameter byte at `pointer` is not valid."""
    return Refused(Refusal(FORMAT_PARAMETER, pointer=pointer))


def short_count() -> Refused:
    """Format 0 message 3: the CCW count is less than the order needs."""
    return Refused(Refusal(FORMAT_SHORT))


def suspended_by(reason: int, **fields: int) -> Refusal:
    """Format F message B: the write met an error and the pair is now suspended (given once, on that write).

    reason: number of the IEA491E reason list, project-defined: 01 primary device write failure, 02 secondary
    subsystem failure, 03 communication to secondary failure, 05 secondary not ready, 06 track format, 08 media error.
    """
    return Refusal(FORMAT_SUSPENDED, reason, byte0=0, byte2=0x10, **fields)
