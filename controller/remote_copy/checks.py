"""Judging a PPRC order before it is run: the common header and what each order allows.

Order of checking: count, byte 0, byte 1, length, format, selector, reserved bytes (lowest offset first),
identities, then state. Source: pprc-commands 4.2.
"""

from typing import NamedTuple

from ccw import pprc
from controller.remote_copy.pair import BoxName
from controller.remote_copy.refusal import bad_parameter, reject, short_count
from controller.remote_copy.states import Reason

FORMAT = 0x01
EBCDIC_SERIAL = frozenset([*range(0xF0, 0xFA), *range(0xC1, 0xCA), *range(0xD1, 0xDA), *range(0xE2, 0xEA)])  # 0-9 A-Z


class OrderRule(NamedTuple):
    """What byte 1 and byte 5 of one order may hold."""

    flags: int
    selectors: frozenset[int]


RULES: dict[int, OrderRule] = {
    pprc.Order.ESTABLISH_PATH: OrderRule(0x70, frozenset({0, 1})),
    pprc.Order.DELETE_PATH: OrderRule(0x00, frozenset({0, 1})),
    pprc.Order.ESTABLISH_PAIR: OrderRule(0x7E, frozenset({0})),
    pprc.Order.DELETE_PAIR: OrderRule(0x40, frozenset({0})),
    pprc.Order.SUSPEND_PAIR: OrderRule(0x60, frozenset({0})),
    pprc.Order.RECOVER_PAIR: OrderRule(0x00, frozenset({0})),
    pprc.Order.CONSISTENCY_GROUP: OrderRule(0x00, frozenset({1, 2})),
    pprc.Order.UPDATE_SECONDARY_DEVICE_STATUS: OrderRule(0x70, frozenset({0, 1, 2})),
    pprc.Order.DEFINE_BRIDGE_VOLUME: OrderRule(0x00, frozenset({0})),
    pprc.Order.REMOTE_WRITE_PREFIX: OrderRule(0x00, frozenset({0})),
}


def parse_order(data: bytes) -> pprc.PprcOrder:
    """The decoded order, judged as far as that needs no state. Raises Refused.

    data: what the channel supplied; bytes beyond the order's length are ignored.
    """
    if not data:
        raise short_count()
    rule = RULES.get(data[0])
    if rule is None:
        raise bad_parameter(0)
    length = pprc.order_length(data) or 0
    if len(data) < length:
        raise short_count()
    data = data[:length]
    if data[1] & ~rule.flags:
        raise bad_parameter(1)
    if int.from_bytes(data[2:4], "big") != length:
        raise bad_parameter(2)
    if data[4] != FORMAT:
        raise bad_parameter(4)
    if data[5] not in rule.selectors:
        raise bad_parameter(5)
    offset = pprc.reserved_error(data)
    if offset is not None:
        raise bad_parameter(offset)
    define = data[0] == pprc.Order.DEFINE_BRIDGE_VOLUME
    _check_identity(data[16:28], 16)
    if not define or any(data[28:40]):
        _check_identity(data[28:40], 28)
    return pprc.decode_order(data)


def _check_identity(identity: bytes, pointer: int) -> None:
    """Serials only: EBCDIC 0-9 and A-Z. World-wide names come with FCP links. Raises Refused."""
    if not all(byte in EBCDIC_SERIAL for byte in identity):
        raise bad_parameter(pointer)


def primary_box(header: pprc.PprcHeader) -> BoxName:
    """The control-unit image named as primary."""
    return BoxName(header.primary_identity, header.primary_ssid, header.primary_lss)


def secondary_box(header: pprc.PprcHeader) -> BoxName:
    """The control-unit image named as secondary."""
    return BoxName(header.secondary_identity, header.secondary_ssid, header.secondary_lss)


def check_boxes(header: pprc.PprcHeader, own: BoxName, *, own_is_primary: bool) -> None:
    """The receiver is the box the order says it is, and the other box is another one. Raises Refused."""
    mine, other = primary_box(header), secondary_box(header)
    if not own_is_primary:
        mine, other = other, mine
    if mine != own:
        raise reject(Reason.IDENTITY)
    if other == own:
        raise reject(Reason.SAME_IMAGE)


def check_request_sequence(sequence: int, from_peer: bool) -> None:
    """Zero from a host channel, non-zero from a peer. Raises Refused."""
    if not from_peer and sequence:
        raise bad_parameter(6)
    if from_peer and not sequence:
        raise bad_parameter(6)
