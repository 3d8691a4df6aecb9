"""The CRC of the link trailer: 16 bits over link header and information field."""

import anycrc

from ccw.escon import CRC

# Built once: building one costs far more than a frame's CRC.
_calculate = anycrc.CRC(16, CRC.polynomial, CRC.initial, False, False, CRC.final_xor).calc


def crc16(data: bytes | memoryview, before: int | None = None) -> int:
    """CRC of `data`, 0..65535, sent high byte first. `before`: the CRC of what precedes it.

    Source: parameters of ccw/escon.py.
    """
    return int(_calculate(data) if before is None else _calculate(data, before))
