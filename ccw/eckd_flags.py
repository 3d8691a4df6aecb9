"""Flag bytes of the ECKD parameter lists, all eight bits named, and the values of fields of several bits.

Source: as eckd.py.
"""

from enum import IntEnum, IntFlag


class FileMask(IntFlag):
    """Byte 0 of Define Extent: write control (2 bits), reserved, seek control (2), authority (2), PCI fetch."""

    WRITE_2 = 0x80
    WRITE_1 = 0x40
    RESERVED_2 = 0x20
    SEEK_2 = 0x10
    SEEK_1 = 0x08
    AUTHORITY_2 = 0x04
    AUTHORITY_1 = 0x02
    PCI_FETCH = 0x01


class GlobalAttribute(IntFlag):
    """Byte 1 of Define Extent: bits 0-1 both on (ECKD), caching (3 bits)."""

    ECKD_2 = 0x80
    ECKD_1 = 0x40
    CKD_CONVERSION = 0x20
    CACHING_4 = 0x10
    CACHING_2 = 0x08
    CACHING_1 = 0x04
    CACHE_FAST_WRITE = 0x02
    INHIBIT_DASD_FAST_WRITE = 0x01


class ExtendedAttribute(IntFlag):
    """Byte 7 of Define Extent."""

    RESERVED_0 = 0x80
    REGULAR_DATA_FORMAT = 0x40
    RESERVED_2 = 0x20
    RESERVED_3 = 0x10
    TIMESTAMP_VALID = 0x08
    REGULAR_RECORD_ZERO = 0x04
    EXTENDED_PARAMETERS = 0x02
    RESERVED_7 = 0x01


class Operation(IntFlag):
    """Byte 0 of Locate Record: orientation (2 bits: count, home address, data, index), code (6)."""

    ORIENTATION_2 = 0x80
    ORIENTATION_1 = 0x40
    CODE_20 = 0x20
    CODE_10 = 0x10
    CODE_08 = 0x08
    CODE_04 = 0x04
    CODE_02 = 0x02
    CODE_01 = 0x01


class LocateAuxiliary(IntFlag):
    """Byte 1 of Locate Record; 40, 20, 18 and 04 belong to transport mode and must be zero here."""

    TRANSFER_LENGTH_VALID = 0x80
    LENGTH_SCOPE = 0x40
    IMBEDDED_CCW_VALID = 0x20
    CHECK_BYTE_MODE_2 = 0x10
    CHECK_BYTE_MODE_1 = 0x08
    IMBEDDED_COUNT_VALID = 0x04
    RESERVED_6 = 0x02
    READ_COUNT_SUFFIX = 0x01


class PrefixValidity(IntFlag):
    """Byte 1 of Prefix."""

    DEFINE_EXTENT_VALID = 0x80
    TIMESTAMP_VALID = 0x40
    VERIFY_BASE = 0x20
    HYPER_PAV = 0x10
    RESERVED_4 = 0x08
    RESERVED_5 = 0x04
    RESERVED_6 = 0x02
    RESERVED_7 = 0x01


class PrefixAuxiliary(IntFlag):
    """Byte 3 of Prefix."""

    SUSPEND_MULTIPATH_RECONNECTION = 0x80
    RESERVED_1 = 0x40
    RESERVED_2 = 0x20
    RESERVED_3 = 0x10
    ALREADY_CHECKED = 0x08
    RESERVED_5 = 0x04
    RESERVED_6 = 0x02
    RESERVED_7 = 0x01


class WriteControl(IntEnum):
    """File mask bits 0-1."""

    ALL_BUT_HOME_ADDRESS_AND_RECORD_ZERO = 0
    NONE = 1
    UPDATE_ONLY = 2
    ALL = 3


class SeekControl(IntEnum):
    """File mask bits 3-4. NONE: no multitrack operation either."""

    ALL = 0
    CYLINDER_AND_HEAD = 1
    HEAD = 2
    NONE = 3


class Authority(IntEnum):
    """File mask bits 5-6. 2105 and 2107 refuse 2 and take 3 as 1."""

    NORMAL = 0
    DEVICE_SUPPORT = 1
    DIAGNOSTIC = 2
    DEVICE_SUPPORT_WITHOUT_CORRECTION = 3


class Caching(IntEnum):
    """Bits 3-5 of the global attributes; 6 and 7 are not valid."""

    NORMAL = 0
    BYPASS = 1
    INHIBIT_LOADING = 2
    SEQUENTIAL_ACCESS = 3
    SEQUENTIAL_PRESTAGE = 4
    RECORD_ACCESS = 5


class Orientation(IntEnum):
    """Bits 0-1 of a Locate Record operation."""

    COUNT = 0
    HOME_ADDRESS = 1
    DATA = 2
    INDEX = 3


class LocateCode(IntEnum):
    """Bits 2-7 of a Locate Record operation; EXTENDED only in Locate Record Extended, ORIENT only in Locate Record."""

    ORIENT = 0x00
    WRITE_DATA = 0x01
    FORMAT_WRITE = 0x03
    READ_DATA = 0x06
    WRITE_TRACK = 0x0B
    READ_TRACKS = 0x0C
    READ = 0x16
    EXTENDED = 0x3F


class ExtendedOperation(IntEnum):
    """Byte 17 of Locate Record Extended with code 3F. 23 is what Linux sends for 13."""

    WRITE_ANY = 0x09
    READ_ANY = 0x0A
    READ_TRACKSET = 0x0E
    PRESTAGE_TRACKSET = 0x10
    WRITE_TRACKSET = 0x11
    UPDATE_WRITE_TRACKSET = 0x13
    UPDATE_WRITE_TRACKSET_LINUX = 0x23
