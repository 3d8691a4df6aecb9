"""CCWs, ECKD parameter lists, sense layouts and self-description data: vectors, recorded values, what is refused."""

from dataclasses import replace
from enum import IntFlag
from typing import Any

import pytest

from ccw import (
    bridge,
    ccws,
    characteristics,
    configuration,
    device_control,
    eckd_flags,
    escon,
    identity,
    link_control,
    path_group,
    pprc_flags,
    sense,
    subsystem_data,
    subsystem_orders,
    volume_data,
)
from ccw.ccws import Ccw, CcwFlag, CommandCode, command_class, decode_ccw, encode_ccw
from ccw.characteristics import DeviceCharacteristics, Facility, Feature, device_characteristics
from ccw.configuration import NodeElement, NodeQualifier, configuration_data
from ccw.eckd import DefineExtent, ExtentExtension, LocateRecord, LocateRecordExtended, Prefix
from ccw.errors import FormatError
from ccw.geometry import Cchh, geometry_for
from ccw.identity import PROFILES, Ciw, DeviceIdentity, SenseId, SubsystemStatus, sense_id, subsystem_status
from ccw.sense import (
    CompatibleSense,
    NativeSense,
    PprcSense,
    busy,
    compatible_sense,
    incomplete_domain,
    is_compatible,
    length_mismatch,
    state_change_pending,
)
from tests.helpers.vectors import Vector, check_exact, expect_format_error, load_vectors

# Flags that name only the bits an order defines; the byte itself is pprc_flags.OrderFlag, all eight named.
PARTIAL = {"PathFlag", "PairFlag", "DeleteFlag", "SuspendFlag", "StatusUpdateFlag", "SelectiveReset"}


@pytest.mark.parametrize("module", [
    bridge, ccws, characteristics, configuration, device_control, eckd_flags, escon, identity, link_control, path_group,
    pprc_flags, sense, subsystem_data, subsystem_orders, volume_data,
], ids=lambda module: module.__name__)
def test_flag_bytes_name_all_eight_bits(module: Any) -> None:
    for name, kind in vars(module).items():
        if isinstance(kind, type) and issubclass(kind, IntFlag) and kind is not IntFlag and name not in PARTIAL:
            assert sorted(kind, reverse=True) == [0x80 >> bit for bit in range(8)], name


# --- CCWs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ccw_format", "data", "ccw"), [
    (0, "0700110040000006", Ccw(0x07, 0x40, 6, 0x1100)),
    (0, "08001008FFAAFFFF", Ccw(0x08, 0xFF, 0xFFFF, 0x1008, 0xAA)),
    (1, "E420002819EF2028", Ccw(0xE4, 0x20, 40, 0x19EF2028)),
    (1, "08000000FFFFFFFF", Ccw(0x08, 0, 0, 0xFFFFFFFF)),
])
def test_ccw(ccw_format: int, data: str, ccw: Ccw) -> None:
    value = check_exact(lambda raw: decode_ccw(raw, ccw_format), lambda value: encode_ccw(value, ccw_format),
                        bytes.fromhex(data))
    assert value == ccw


@pytest.mark.parametrize(("ccw", "ccw_format"), [
    (Ccw(256, 0, 0, 0), 0), (Ccw(1, 0, 65536, 0), 1), (Ccw(1, 0, 0, 1 << 24), 0), (Ccw(1, 0, 0, 1 << 32), 1),
    (Ccw(1, -1, 0, 0), 0), (Ccw(1, 0, 0, 0, 1), 1),
])
def test_ccw_that_cannot_be_built(ccw: Ccw, ccw_format: int) -> None:
    with pytest.raises(FormatError):
        encode_ccw(ccw, ccw_format)


def test_command_classes() -> None:
    expected = {
        0x00: "invalid", 0x10: "invalid", 0x04: "sense", 0xE4: "sense", 0x34: "sense", 0x08: "tic", 0xF8: "tic",
        0x0C: "read backward", 0x05: "write", 0x31: "write", 0x06: "read", 0xDE: "read", 0x07: "control",
        0x63: "control", 0xFA: "read", 0x4E: "read", 0x27: "control", 0xE7: "control",
    }
    assert {code: command_class(code) for code in expected} == expected
    assert command_class(CommandCode.SENSE_ID) == "sense"
    assert CcwFlag.CC | CcwFlag.SLI == 0x60


# --- parameter lists --------------------------------------------------------------------------------------------------

DX_READ = "40C01000000000000005000200050002"
LR_READ = "06800003000500020005000201061000"


def test_define_extent() -> None:
    value = check_exact(DefineExtent.decode, DefineExtent.encode, bytes.fromhex(DX_READ))
    assert value == DefineExtent(0x40, 0xC0, 0x1000, 0, 0, 0, Cchh(5, 2), Cchh(5, 2))
    assert value.extension is None


def test_long_define_extent() -> None:
    data = bytes.fromhex("40C0100000000A0A0005000200050002" "B5A1234567890000 00 01 02 0C 00000000")
    value = check_exact(DefineExtent.decode, DefineExtent.encode, data)
    assert value.extension == ExtentExtension(0xB5A1234567890000, 0, 1, 2, 12, bytes(4))
    assert DefineExtent.length(data[:8]) == 32 and DefineExtent.length(data[:7]) == 16
    assert expect_format_error(DefineExtent.decode, data[:16]).offset == 16
    with pytest.raises(FormatError):
        replace(value, extended=b"x").encode()


def test_locate_record() -> None:
    value = check_exact(LocateRecord.decode, LocateRecord.encode, bytes.fromhex(LR_READ))
    assert value == LocateRecord(0x06, 0x80, 0, 3, Cchh(5, 2), bytes.fromhex("0005000201"), 6, 0x1000)
    assert (value.orientation, value.code) == (0, 0x06)
    assert replace(value, operation=0xD6).orientation == 3


READ_ANY = "3F00000D 14180001 00000000 00FF0000 000A0001 01"


def test_locate_record_extended() -> None:
    data = bytes.fromhex(READ_ANY)
    value = check_exact(LocateRecordExtended.decode, LocateRecordExtended.encode, data)
    assert (value.code, value.orientation, value.count) == (0x3F, 0, 13)
    assert (value.extended_operation, value.extended_parameters) == (0x0A, b"\x01")
    assert LocateRecordExtended.length(data) == 21 and LocateRecordExtended.length(data[:19]) == 20
    with pytest.raises(FormatError):
        replace(value, extended_parameters=bytes(65536)).encode()
    with pytest.raises(FormatError):
        replace(value, search=b"1234").encode()


# Source: eckd-commands 3.11, second reported sample.
PREFIX = bytes.fromhex("018000000000000000000000" "40C000000000000014180001" "14180000" + "00" * 16 + READ_ANY)


def test_prefix_with_locate() -> None:
    value = check_exact(Prefix.decode, Prefix.encode, PREFIX)
    assert value.define_extent.first == Cchh(0x1418, 1) and value.define_extent.extended == bytes(16)
    assert value.locate == LocateRecordExtended.decode(bytes.fromhex(READ_ANY))
    assert Prefix.length(PREFIX) == 65 == len(PREFIX)


def test_prefix_without_locate_keeps_its_last_bytes() -> None:
    data = b"\x00" + PREFIX[1:44] + bytes(range(20))
    value = check_exact(Prefix.decode, Prefix.encode, data)
    assert value.locate is None and value.unused_44 == bytes(range(20))
    for wrong in (replace(value, unused_44=b""), replace(value, format=1),
                  replace(value, define_extent=replace(value.define_extent, extended=b""))):
        with pytest.raises(FormatError):
            wrong.encode()


# --- sense ------------------------------------------------------------------------------------------------------------

LOCATE = bytes.fromhex("01800002000500020005000205 4D 1000".replace(" ", ""))


@pytest.mark.parametrize(("image", "expected"), [
    # Source: eckd-commands 6, vectors 4, 9, 16, 22; recording linux-cdl-2107, programs 9 and 11.
    (compatible_sense(0, 0x40, 0, address=Cchh(5, 2), cylinders=3339), "00400000 00050200" + "00" * 19 + "80 00000502"),
    (compatible_sense(0x80, 0, 1, address=Cchh(5, 2), cylinders=3339), "80000000 00050201" + "00" * 19 + "80 00000502"),
    (compatible_sense(0, 0x20, 0, address=Cchh(5, 14), cylinders=3339), "00200000 00050E00" + "00" * 19 + "800000050E"),
    (compatible_sense(0, 5, 0, address=Cchh(6, 0), cylinders=3339, remaining_count=1),
     "00050001 00060000" + "00" * 19 + "80 00000600"),
    (compatible_sense(0x80, 0, 4, address=Cchh(0, 0), cylinders=50), "8000000000000004" + "00" * 19 + "8000000000"),
    (compatible_sense(0, 8, 0, address=Cchh(0, 1), cylinders=50), "0008000000000100" + "00" * 19 + "8000000001"),
    (compatible_sense(0, 4, 0, address=Cchh(0xD0A, 14), cylinders=4095), "00040000000ADE00" + "00" * 19 + "80000D0A0E"),
    (compatible_sense(0, 4, 0, address=Cchh(0x21234, 3), cylinders=262668),
     "0004000000FFFF00" + "00" * 19 + "8000123423"),
    (compatible_sense(8, 0x80, 0x43, address=Cchh(1, 2), cylinders=50, detail=b"\1\2\3\4\5"),
     "0880000000 01 02 43 0102030405" + "00" * 14 + "8000000102"),
    # Source: eckd-commands 4.5.3.
    (incomplete_domain(0x15, 0x20, 0x0100, Cchh(5, 2), LOCATE, 2),
     "01101502 20006001 80000000 05000205 4D100000 01000200 01014E60 01000502"),
    (length_mismatch(0x15, 0x20, 0x0100, Cchh(5, 2), LOCATE, 2, 0x0800),
     "80401502 20006001 80000000 05000205 4D080000 01000000 000F4E60 00000502"),
    (state_change_pending(0x15, 0x20, 0x0100, Cchh(5, 2)),
     "00001500 20006000 00000000 00000000 00000000 01000000 001D4E60 00000502"),
    (busy(0x15, 0x20, 0x0100, Cchh(5, 2)), "00001500 20006000 00000000 00000000 00000000 01000000 001E4E60 00000502"),
])
def test_sense_images(image: bytes, expected: str) -> None:
    assert image == bytes.fromhex(expected)
    kind: Any = CompatibleSense if is_compatible(image) else NativeSense
    check_exact(kind.decode, kind.encode, image)


def test_pprc_sense() -> None:
    # Source: the published example of a write to a primary in critical state begins 80 00 00 00 54 00 00 0F 57.
    value = PprcSense(0x80, 0, 0, 0, 0x54, 0, 0, 0x0F, 0x57, pair_id=2, ssid=0x0100, symptom=0xD257)
    expected = "80000000 5400000F 57FF0000 00000000 00000002 0100D257 00000080 00000000"
    assert value.encode() == bytes.fromhex(expected)
    assert check_exact(PprcSense.decode, PprcSense.encode, value.encode()) == value


# --- self-description -------------------------------------------------------------------------------------------------

IDENTITIES = {
    "configuration": DeviceIdentity(0x20, 0x0100, "000000000123", lss=0x0A),
    "configuration recorded": DeviceIdentity(0x20, 0x0120, "259528031735", lss=1, interface_id=1, link_protocol=0x80),
}


@pytest.mark.parametrize("vector", load_vectors("identity"), ids=lambda vector: vector.name)
def test_self_description(vector: Vector) -> None:
    what, profile_name, device_type, cylinders = vector.kind.split("/")
    profile, geometry = PROFILES[profile_name], geometry_for(device_type, int(cylinders))
    if what == "sense id":
        assert sense_id(profile, geometry) == vector.data
        value = SenseId.decode(vector.data)
        assert value.encode() == vector.data and value.ciws == profile.ciws
    elif what == "characteristics":
        assert device_characteristics(profile, geometry) == vector.data
        check_exact(DeviceCharacteristics.decode, DeviceCharacteristics.encode, vector.data)
    else:
        assert configuration_data(profile, geometry, IDENTITIES[what]) == vector.data
        for start in range(0, 224, 32):
            check_exact(NodeElement.decode, NodeElement.encode, vector.data[start : start + 32])
        check_exact(NodeQualifier.decode, NodeQualifier.encode, vector.data[224:])


def test_sense_id_without_information_words() -> None:
    data = sense_id(PROFILES["3880-3"], geometry_for("3380", 885))
    assert data == bytes.fromhex("FF3880C3338002")
    assert SenseId.decode(data).encode() == data
    assert SenseId.decode(data + b"\0").encode() == data + b"\0"
    for length in range(7):
        expect_format_error(SenseId.decode, data[:length])
    assert expect_format_error(SenseId.decode, data + b"\0\x41\0\0").offset == 8
    assert expect_format_error(SenseId.decode, data + b"\0\x80\xfa\1\0").where == "command information word"
    assert expect_format_error(SenseId.decode, b"\xfe" + data[1:]).offset == 0
    with pytest.raises(FormatError):
        SenseId(0x3990, 0xE9, 0x3390, 0x0A, b"", (Ciw(0, 0xFA, 256),)).encode()


def test_dynamic_characteristics() -> None:
    profile, geometry = PROFILES["2105"], geometry_for("3390", 50)
    plain = device_characteristics(profile, geometry)
    changed = device_characteristics(profile, geometry, prefix=True, system_characteristics_received=True, pprc=False)
    assert changed[6] == plain[6] | Facility.PREFIX | Facility.SYSTEM_CHARACTERISTICS_RECEIVED
    assert changed[8] == plain[8] & ~Feature.PPRC & 0xFF
    assert changed[:6] + changed[9:] == plain[:6] + plain[9:]
    assert device_characteristics(PROFILES["3990-6"], geometry, pprc=True)[8] == 0x30
    alternates = device_characteristics(profile, replace(geometry, cylinders=51, alternate_cylinders=1))
    assert alternates[28:32] == bytes.fromhex("0032000F")


@pytest.mark.parametrize("change", [
    {"manufacturer": "IBMX"}, {"manufacturer": "IB€"}, {"plant": ""}, {"serial": "1" * 13}, {"ssid": 65536},
    {"lss": -1},
])
def test_identity_that_does_not_fit(change: dict[str, Any]) -> None:
    with pytest.raises(FormatError):
        configuration_data(PROFILES["2107"], geometry_for("3390", 50), replace(IDENTITIES["configuration"], **change))


def test_subsystem_status() -> None:
    short = subsystem_status(PROFILES["3990-3"], IDENTITIES["configuration"], 4)
    assert short == bytes.fromhex("00200301 000000C0" + "00" * 30 + "0100")
    long = subsystem_status(PROFILES["3990-6"], IDENTITIES["configuration"], 256, cache_bytes=1 << 28,
                            nvs_bytes=1 << 22, device_status_1=0x08)
    assert long == bytes.fromhex("0120FF01 000000C0 0000 10000000 10000000 00000000 00000000 0800 00400000 00000000"
                                 "0000 0100 00000000")
    assert SubsystemStatus.decode(short).encode() == short
    assert SubsystemStatus.decode(long).encode() == long
    for length in (0, 39, 41, 43, 45):
        expect_format_error(SubsystemStatus.decode, bytes(length))
    with pytest.raises(FormatError):
        replace(SubsystemStatus.decode(long), storage_status=b"1").encode()
