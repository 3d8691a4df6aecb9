"""Every command a program text can name: mnemonic, code, what it takes.

A command either writes (its builder makes the bytes that go to the device), reads (`count` bytes are asked for), or is
immediate. Source: eckd-commands 3.2, the master table.
"""

from __future__ import annotations

from typing import NamedTuple

from ccw.ccws import CommandCode as Code
from host_emulator import parameters as make
from host_emulator.parameters import Builder

ANY_LENGTH = 0xFFFF  # asked for with length indication suppressed


class Mnemonic(NamedTuple):
    """One row. `build` None: no data to the device; then `count` bytes are read, or none where it is None."""

    name: str
    code: int
    title: str
    form: str = ""
    build: Builder | None = None
    count: int | None = None  # type: ignore[assignment]  # hides tuple.count, which nothing needs
    multitrack: bool = False  # takes the word mt

    @property
    def reads(self) -> bool:
        """Data go from the device to storage."""
        return self.build is None and self.count is not None


def _locating() -> list[Mnemonic]:
    extent = "C,H-C,H [mask=HH] [attr=HH] [blk=N] [ext=HH] [cfw=HHHH]"
    locate = "OPERATION [n=N] [at=C,H,R | seek=C,H search=C,H,R] [tlf=N] [aux=HH] [sector=HH]"
    return [
        Mnemonic("de", Code.DEFINE_EXTENT, "Define Extent", extent, make.define_extent),
        Mnemonic("lr", Code.LOCATE_RECORD, "Locate Record", locate, make.locate_record),
        Mnemonic(
            "lre",
            Code.LOCATE_RECORD_EXTENDED,
            "Locate Record Extended",
            f"{locate} [x=HH] [xp=DATA]",
            make.locate_record_extended,
        ),
        Mnemonic(
            "pfx",
            Code.PREFIX,
            "Prefix",
            f"{extent} [{locate} [x=HH] [xp=DATA]] [fmt=HH] [valid=HH] [base=HH] [paux=HH]",
            make.prefix,
        ),
        Mnemonic("seek", Code.SEEK, "Seek", "C,H", make.seek),
        Mnemonic("seekc", Code.SEEK_CYLINDER, "Seek Cylinder", "C,H", make.seek),
        Mnemonic("seekh", Code.SEEK_HEAD, "Seek Head", "C,H", make.seek),
        Mnemonic("recal", Code.RECALIBRATE, "Recalibrate"),
        Mnemonic("restore", Code.RESTORE, "Restore"),
        Mnemonic("sfm", Code.SET_FILE_MASK, "Set File Mask", "HH", make.one_byte),
        Mnemonic("ss", Code.SET_SECTOR, "Set Sector", "HH", make.one_byte),
        Mnemonic("rs", Code.READ_SECTOR, "Read Sector", count=1),
        Mnemonic("nop", Code.NO_OPERATION, "No-Operation"),
    ]


def _searching() -> list[Mnemonic]:
    rows = [
        ("she", Code.SEARCH_HOME_ADDRESS_EQUAL, "Search Home Address Equal", "C,H", make.home_address),
        ("side", Code.SEARCH_ID_EQUAL, "Search ID Equal", "C,H,R", make.identifier),
        ("sidh", 0x51, "Search ID High", "C,H,R", make.identifier),
        ("sideh", 0x71, "Search ID Equal or High", "C,H,R", make.identifier),
        ("ske", Code.SEARCH_KEY_EQUAL, "Search Key Equal", "DATA", make.plain),
        ("skh", Code.SEARCH_KEY_HIGH, "Search Key High", "DATA", make.plain),
        ("skeh", Code.SEARCH_KEY_EQUAL_OR_HIGH, "Search Key Equal or High", "DATA", make.plain),
    ]
    return [Mnemonic(name, code, title, form, build, None, True) for name, code, title, form, build in rows]


def _reading() -> list[Mnemonic]:
    return [
        Mnemonic("rd", Code.READ_DATA, "Read Data", count=ANY_LENGTH, multitrack=True),
        Mnemonic("rkd", Code.READ_KEY_AND_DATA, "Read Key and Data", count=ANY_LENGTH, multitrack=True),
        Mnemonic("rc", Code.READ_COUNT, "Read Count", count=8, multitrack=True),
        Mnemonic("rckd", Code.READ_COUNT_KEY_AND_DATA, "Read Count, Key and Data", count=ANY_LENGTH, multitrack=True),
        Mnemonic("rr0", Code.READ_RECORD_ZERO, "Read R0", count=ANY_LENGTH, multitrack=True),
        Mnemonic("rha", Code.READ_HOME_ADDRESS, "Read Home Address", count=5, multitrack=True),
        Mnemonic("rsha", Code.READ_SPECIAL_HOME_ADDRESS, "Read Special Home Address", count=28),
        Mnemonic("rmckd", Code.READ_MULTIPLE_COUNT_KEY_AND_DATA, "Read Multiple CKD", count=ANY_LENGTH),
        Mnemonic("rt", Code.READ_TRACK, "Read Track", count=ANY_LENGTH),
        Mnemonic("rtd", Code.READ_TRACK_DATA, "Read Track Data", count=ANY_LENGTH),
        Mnemonic("ripl", Code.READ_IPL, "Read IPL", count=ANY_LENGTH),
    ]


def _writing() -> list[Mnemonic]:
    ckd = "C,H,R [key=DATA] [dl=N] [DATA]"
    return [
        Mnemonic("wd", Code.WRITE_DATA, "Write Data", "DATA", make.plain),
        Mnemonic("wkd", Code.WRITE_KEY_AND_DATA, "Write Key and Data", "DATA", make.plain),
        Mnemonic("wud", Code.WRITE_UPDATE_DATA, "Write Update Data", "DATA", make.plain),
        Mnemonic("wukd", Code.WRITE_UPDATE_KEY_AND_DATA, "Write Update Key and Data", "DATA", make.plain),
        Mnemonic("wckd", Code.WRITE_COUNT_KEY_AND_DATA, "Write Count, Key and Data", ckd, make.count_key_data),
        Mnemonic(
            "wcnt", Code.WRITE_COUNT_KEY_AND_DATA_NEXT_TRACK, "Write CKD Next Track", ckd, make.count_key_data
        ),
        Mnemonic("wr0", Code.WRITE_RECORD_ZERO, "Write R0", "C,H [DATA]", make.record_zero),
        Mnemonic("wha", Code.WRITE_HOME_ADDRESS, "Write Home Address", "C,H", make.write_home_address),
        Mnemonic("erase", Code.ERASE, "Erase", ckd, make.count_key_data),
        Mnemonic("wft", Code.WRITE_FULL_TRACK, "Write Full Track", "DATA", make.plain),
        Mnemonic("wtd", Code.WRITE_TRACK_DATA, "Write Track Data", "DATA", make.plain),
    ]


def _describing() -> list[Mnemonic]:
    return [
        Mnemonic("sense", Code.SENSE, "Basic Sense", count=32),
        Mnemonic("sid", Code.SENSE_ID, "Sense ID", count=ANY_LENGTH),
        Mnemonic("rdc", Code.READ_DEVICE_CHARACTERISTICS, "Read Device Characteristics", count=64),
        Mnemonic("rcd", Code.READ_CONFIGURATION_DATA, "Read Configuration Data", count=256),
        Mnemonic("snss", Code.SENSE_SUBSYSTEM_STATUS, "Sense Subsystem Status", count=ANY_LENGTH),
        Mnemonic("rrbl", Code.READ_AND_RESET_BUFFERED_LOG, "Read and Reset Buffered Log", count=32),
        Mnemonic("reserve", Code.DEVICE_RESERVE, "Device Reserve", count=32),
        Mnemonic("release", Code.DEVICE_RELEASE, "Device Release", count=32),
        Mnemonic("ureserve", Code.UNCONDITIONAL_RESERVE, "Unconditional Reserve", count=32),
        Mnemonic("rsta", Code.RESET_ALLEGIANCE, "Reset Allegiance", count=32),
        Mnemonic("snid", Code.SENSE_PATH_GROUP_ID, "Sense Path Group ID", count=12),
        Mnemonic("spid", Code.SET_PATH_GROUP_ID, "Set Path Group ID", "FUNCTION [ID]", make.path_group),
        Mnemonic("smr", Code.SUSPEND_MULTIPATH_RECONNECTION, "Suspend Multipath Reconnection"),
    ]


def _subsystem() -> list[Mnemonic]:
    order = "ORDER [flags=HH] [sel=HH] [seq=HHHH] [pri=SSID:LSS:SERIAL] [sec=...] [dev=HH] [sdev=HH] [BODY]"
    psf = Code.PERFORM_SUBSYSTEM_FUNCTION
    return [
        Mnemonic("psf", psf, "Perform Subsystem Function", "DATA", make.plain),
        Mnemonic("prssd", psf, "Prepare for Read Subsystem Data", "SUBORDER [p=DATA] [lss=HH] [vol=HH]", make.prepare),
        Mnemonic("pprc", psf, "a PPRC order by Perform Subsystem Function", order, make.pprc_order),
        Mnemonic("dso", Code.DEFINE_SUBSYSTEM_OPERATION, "Define Subsystem Operation", "DATA", make.plain),
        Mnemonic(
            "ras",
            Code.DEFINE_SUBSYSTEM_OPERATION,
            "Release Allocated Space by Define Subsystem Operation",
            "DEVICE [C,H-C,H ...] [op=HH] [lss=HH]",
            make.release_space,
        ),
        Mnemonic("rssd", Code.READ_SUBSYSTEM_DATA, "Read Subsystem Data", count=ANY_LENGTH),
        Mnemonic("ssm", Code.SET_SUBSYSTEM_MODE, "Set Subsystem Mode", "DATA", make.plain),
        Mnemonic("rmid", Code.READ_MESSAGE_ID, "Read Message ID", count=4),
        Mnemonic("diag", Code.DIAGNOSTIC_CONTROL, "Diagnostic Control", "DATA", make.plain),
        Mnemonic("rsuc", Code.RESET_SUMMARY_UNIT_CHECK, "Reset Summary Unit Check", "DATA", make.plain),
    ]


MNEMONICS: dict[str, Mnemonic] = {
    row.name: row
    for rows in (_locating(), _searching(), _reading(), _writing(), _describing(), _subsystem())
    for row in rows
}


def mnemonic_help(row: Mnemonic) -> str:
    """One line: mnemonic, what it takes, code, name."""
    words = " ".join(part for part in (row.name, "[mt]" if row.multitrack else "", row.form) if part)
    return f"{words}  ({row.code:02X} {row.title})"
