"""The tracks that cases find on the scratch volumes, as `parse_records` reads them; every track has a standard R0.

scratch (3390): 0,0 holds what Read IPL reads and the suite's label; 1,2 four records of 16 bytes; 1,3 keyed ones, the
third without a key; 1,4 an end-of-file record; 1,5 nothing; 1,6 lengths that differ; 1,12 to 2,1 one record each, for
what crosses tracks and cylinders; 1,7 one record of 4,096 bytes. spare and old have a few of them.
"""

from tools.conformance.requirements import LABEL

LABEL_RECORDS = f"1=E9*24, 2=EA*144, 3=e'VOL1'/e'{LABEL}'40*70"

FIXTURES: dict[str, dict[str, str]] = {
    "scratch": {
        "0,0": LABEL_RECORDS,
        "1,2": "1=01*16, 2=02*16, 3=03*16, 4=04*16",
        "1,3": "1=C1C1C1C1/11*16, 2=C2C2C2C2/12*16, 3=13*16, 4=C4C4C4C4/14*16",
        "1,4": "1=21*16, 2=, 3=23*16",
        "1,5": "",
        "1,6": "1=31*16, 2=32*24, 3=33*16",
        "1,7": "1=41*4096",
        "1,12": "1=D0*16",
        "1,13": "1=D1*16",
        "1,14": "1=D2*16",
        "2,0": "1=D3*16",
        "2,1": "1=D4*16",
    },
    "spare": {"0,0": LABEL_RECORDS, "1,2": "1=01*16, 2=02*16"},
    "old": {"0,0": LABEL_RECORDS, "1,2": "1=01*16, 2=02*16, 3=03*16", "1,3": ""},
}

SAME_TRACKS = {"alias": "scratch"}

# Commands after which the tracks of the device may hold something else.
WRITES = frozenset({0x01, 0x05, 0x09, 0x0D, 0x11, 0x15, 0x19, 0x1D, 0x85, 0x8D, 0x95, 0x9D, 0xA5, 0xB5, 0xF7})
