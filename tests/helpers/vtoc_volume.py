"""What it takes to put a label and a VTOC on a volume, as lines of a host session."""

from __future__ import annotations


def extent(kind: int, first: tuple[int, int], last: tuple[int, int]) -> str:
    cc = "".join(f"{part:04X}" for address in (first, last) for part in address)
    return f"{kind:02X}00{cc}"


def dscb1(name: str, organisation: str, first: tuple[int, int], last: tuple[int, int]) -> str:
    """Key and data of a format-1 DSCB: FB, records of 80, blocks of 3120."""
    data = f"F1 00*37 {organisation}00 90 00 0C30 0050 00*15 {extent(1, first, last)} 00*25"
    return f"key=e'{name:44}' {data}"


LINES = (
    "wckd 0,0,1 key=e'IPL1' 00*24",
    "wckd 0,0,2 key=e'IPL2' 00*144",
    "wckd 0,0,3 key=e'VOL1' e'VOL1TST001'40+0000000101+40*64",
)
FORMAT_LABEL = "de 0,0 mask=C0; lr format n=3 at=0,0,0; " + "; ".join(LINES)
FORMAT_VTOC = (
    "de 0,1 mask=C0; lr format n=4 at=0,1,0; "
    f"wckd 0,1,1 key=04*44 F4 00*60 {extent(1, (0, 1), (0, 2))} 00*25; "
    "wckd 0,1,2 key=05*44 F5 00*95; "
    f"wckd 0,1,3 {dscb1('SYS1.PARMLIB', '0200', (1, 0), (1, 14)).replace('0200' + '00', '0200')}; "
    f"wckd 0,1,4 {dscb1('USER.DATA', '4000', (2, 0), (2, 4)).replace('4000' + '00', '4000')}"
)
