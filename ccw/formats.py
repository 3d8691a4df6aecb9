"""Every format of this package in one table: what it is called, how it is read and written, where it is described.

Tests walk this table (each format has vectors, survives any bytes, equals its construct definition), and the reference
pages in docs/reference are made from it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from construct import Construct

from ccw import (
    bridge,
    ccws,
    characteristics,
    configuration,
    eckd,
    fc_sb3,
    frames_spec,
    geometry,
    identity,
    image_files,
    link_control,
    older_sense,
    pprc,
    pprc_extended_query,
    pprc_header,
    pprc_query,
    records,
    sense,
    sense_messages,
    sequences,
    shared_dasd,
    tracks,
    volume_label,
)
from ccw import device_control as dc
from ccw import link_control_fields as lc
from ccw import path_group as pg
from ccw import subsystem_data as sd
from ccw import subsystem_orders as so
from ccw import volume_data as vd
from ccw.frames import decode_device, decode_frame, encode_device, encode_frame
from ccw.layout import Layout

Part: TypeAlias = "Layout[Any] | Construct"


class Format(NamedTuple):
    """One format. `parts`: its layouts, first things first; the rest of the bytes is said by `tail`."""

    name: str
    page: str
    decode: Callable[[bytes], Any]
    encode: Callable[[Any], bytes]
    parts: tuple[Part, ...]
    tail: str = ""
    open_from: int | None = None        # bytes from which on any length is right; None: exactly one length is


def _fixed(page: str, *layouts: Layout[Any]) -> tuple[Format, ...]:
    return tuple(Format(layout.what, page, layout.decode, layout.encode, (layout,)) for layout in layouts)


def _kind(name: str, page: str, kind: Any, *parts: Part, tail: str = "", open_from: int | None = None) -> Format:
    return Format(name, page, kind.decode, kind.encode, parts, tail, open_from)


def _device(name: str, part: Part, tail: str = "", open_from: int | None = None) -> Format:
    return Format(name, "escon", decode_device, encode_device, (part,), tail, open_from)


_ESCON = (
    Format("frame", "escon", decode_frame, encode_frame, (frames_spec.LINK_HEADER,),
           "information field, then a CRC of 2 bytes"),
    _device("command frame", frames_spec.COMMAND),
    _device("data frame", frames_spec.DATA, "1 to 1,024 bytes of data (wide-area links: 32,768)", 5),
    _device("data request", frames_spec.DATA_REQUEST),
    _device("status frame", frames_spec.STATUS, "0 to 32 bytes of sense"),
    _device("control frame", frames_spec.CONTROL),
    _kind("path request", "escon", lc.PathRequest, lc.PATH_REQUEST, tail="on a PPRC path the 40-byte PPRC header"),
    *_fixed("escon", lc.LinkReason.LAYOUT, lc.AssignedAddress.LAYOUT, lc.ImageNumber.LAYOUT),
    _kind("test-initialisation result", "escon", lc.TestResult, lc.ImageNumber.LAYOUT,
          tail="32 bytes, one bit a logical path, the first bit is path 0"),
    *_fixed("escon", lc.StateChangeField.LAYOUT, lc.NoContent.LAYOUT, link_control.NODE_DESCRIPTOR,
            link_control.LINK_INCIDENT),
)
_CHANNEL = (
    *(Format(f"CCW, format {number}", "channel", partial(ccws.decode_ccw, ccw_format=number),
             partial(ccws.encode_ccw, ccw_format=number), (layout,))
      for number, layout in enumerate((ccws.CCW_FORMAT_0, ccws.CCW_FORMAT_1))),
    *_fixed("channel", dc.Idaw1.LAYOUT, dc.Idaw2.LAYOUT, dc.Midaw.LAYOUT),
)
_ECKD = (
    *_fixed("eckd", geometry.CCHH, dc.SeekAddress.LAYOUT, dc.HomeAddress.LAYOUT, dc.SpecialHomeAddress.LAYOUT,
            tracks.COUNT_AREA),
    _kind("define extent", "eckd", eckd.DefineExtent, eckd.DEFINE_EXTENT,
          tail="when byte 7 has 02, the extension of 16 bytes"),
    *_fixed("eckd", eckd.EXTENT_EXTENSION, eckd.LOCATE_RECORD),
    _kind("locate record extended", "eckd", eckd.LocateRecordExtended, eckd.LOCATE_RECORD_EXTENDED,
          tail="extended parameters"),
    _kind("prefix", "eckd", eckd.Prefix, eckd.PREFIX_HEAD, eckd.DEFINE_EXTENT, eckd.EXTENT_EXTENSION,
          eckd.LOCATE_RECORD_EXTENDED, tail="extended parameters; format 0 and 2: 20 other bytes at 44"),
    *_fixed("eckd", pg.PathGroupId.LAYOUT, pg.SetPathGroupId.LAYOUT, pg.GroupedPath.LAYOUT, pg.SensePathGroupId.LAYOUT,
            pg.ResetAllegiance.LAYOUT, dc.SetSubsystemMode.LAYOUT, dc.MessageId.LAYOUT, dc.BufferedLog.LAYOUT,
            dc.ResetSummaryUnitCheck.LAYOUT),
    _kind("diagnostic control", "eckd", dc.DiagnosticControl, dc.DIAGNOSTIC_CONTROL, tail="parameters", open_from=4),
)
_SUBSYSTEM = (
    _kind("subsystem order", "subsystem", so.OpaqueOrder, so.OPAQUE_ORDER, tail="parameters, by order"),
    *_fixed("subsystem", eckd.PREPARE_FOR_READ, so.CuirResponse.LAYOUT, so.SetSpecialIntercept.LAYOUT,
            so.SetSystemCharacteristics.LAYOUT, so.SetInterfaceIdentifier.LAYOUT),
    _kind("release allocated space", "subsystem", so.ReleaseSpace, so.RELEASE_SPACE, so.EXTENT, tail="n extents"),
    _kind("storage path status", "subsystem", sd.PathStatus, sd.PATH_STATUS,
          tail="long form: number of logical paths, 7 bytes"),
    *_fixed("subsystem", sd.Statistics.LAYOUT),
    _kind("attention message", "subsystem", sd.AttentionMessage, sd.ATTENTION_MESSAGE,
          tail="flags (1), then by format"),
    *_fixed("subsystem", sd.CuirMessage.LAYOUT),
    _kind("unit address configuration", "subsystem", sd.UnitAddressConfiguration, sd.AddressEntry.LAYOUT,
          tail="256 such entries"),
    *_fixed("subsystem", sd.FeatureCodes.LAYOUT),
    _kind("host access", "subsystem", vd.HostAccess, vd.HOST_ACCESS, vd.HostEntry.LAYOUT, tail="n hosts"),
    *_fixed("subsystem", vd.VolumeStorage.LAYOUT),
    _kind("logical configuration", "subsystem", vd.LogicalConfiguration, vd.LOGICAL_CONFIGURATION,
          vd.ExtentPool.LAYOUT, tail="n pools"),
)
_IDENTITY = (
    _kind("sense ID", "identity", identity.SenseId, identity.SENSE_ID,
          tail="byte 7 zero, then command information words of 4 bytes"),
    *_fixed("identity", characteristics.DEVICE_CHARACTERISTICS),
    _kind("node records", "identity", sd.NodeRecords, tail="records of 32 bytes, by kind: the three below"),
    *_fixed("identity", configuration.NODE_ELEMENT, configuration.NODE_QUALIFIER,
            configuration.SpecificQualifier.LAYOUT),
    _kind("subsystem status", "identity", identity.SubsystemStatus, identity.SUBSYSTEM_STATUS,
          tail="long form: storage status, 4 bytes"),
)
_SENSE = _fixed("sense", sense.COMPATIBLE_SENSE, sense_messages.DataCheckDetail.LAYOUT, sense.NATIVE_SENSE,
                sense.PPRC_SENSE, older_sense.SIX_BYTE_SENSE, older_sense.TWENTY_FOUR_BYTE_SENSE)
_PPRC = (
    *_fixed("pprc", pprc_header.PPRC_HEADER),
    *(_kind(kind.LAYOUT.what, "pprc", kind, kind.LAYOUT, *(
        (pprc_header.PATH_DESCRIPTOR,) if kind in (pprc.EstablishPath, pprc.DeletePath) else ()))
      for kind in pprc.ORDERS.values()),
    _kind("path report", "pprc", pprc_query.PathReport, pprc_query.PATH_REPORT_HEAD, pprc_query.SECONDARY_HEAD,
          pprc_query.PATH_ENTRY, tail="for each secondary its head and eight path entries"),
    *_fixed("pprc", pprc_query.VOLUME_QUERY),
    _kind("queue report", "pprc", pprc_query.QueueReport, pprc_query.QUEUE_HEAD, pprc_query.BRIDGE_ENTRY,
          tail="the bridges, then a pair id of 4 bytes for each queue entry"),
    _kind("extended query", "pprc", pprc_extended_query.ExtendedQuery, pprc_extended_query.EXTENDED_HEAD,
          pprc_extended_query.EXTENDED_ENTRY, tail="five entries"),
    _kind("change bitmap", "pprc", pprc_query.ChangeBitmap, pprc_query.BITMAP_HEAD, tail="one bit for each track"),
    *_fixed("pprc", bridge.VIRTUAL_TRACK_ADDRESS),
    _kind("bridge header", "pprc", bridge.BridgeHeader, bridge.TRACK_HEADER, tail="CRC-32 of all this"),
    *_fixed("pprc", bridge.STATUS_ENTRY),
    _kind("status packet", "pprc", bridge.StatusPacket, bridge.STATUS_HEADER, bridge.STATUS_ENTRY,
          tail="CRC-32 of the header, then the entries"),
)

_FC_SB3 = _fixed("fc-sb3", fc_sb3.FC_HEADER, fc_sb3.UNIT_HEADER, fc_sb3.DATA_DIB, fc_sb3.COMMAND_DIB,
                 fc_sb3.STATUS_DIB, fc_sb3.CONTROL_DIB, fc_sb3.LINK_CONTROL_DIB)

_SHARED_DASD = _fixed("shared-dasd", shared_dasd.SharedMessage.LAYOUT, shared_dasd.SharedWrite.LAYOUT)

_IMAGES = _fixed("images", image_files.DEVICE_HEADER, image_files.COMPRESSED_HEADER, image_files.COMPRESSED_HEADER_64,
                 image_files.COMPRESSED_HEADER_BIG, image_files.COMPRESSED_HEADER_64_BIG, image_files.LEVEL2_ENTRY,
                 image_files.LEVEL2_ENTRY_64, volume_label.VOLUME_LABEL, volume_label.VTOC_DSCB,
                 volume_label.FREE_EXTENT)

FORMATS: tuple[Format, ...] = (*_ESCON, *_CHANNEL, *_ECKD, *_SUBSYSTEM, *_IDENTITY, *_SENSE, *_PPRC, *_FC_SB3,
                               *_SHARED_DASD, *_IMAGES)

# Streams and images: cut by their own content, so not read by one call on one buffer.
STREAMED: dict[str, tuple[str, Construct]] = {
    "frame record": ("escon", records.FRAME_RECORD),
    "sequence record": ("escon", records.SEQUENCE_RECORD),
    "ordered set": ("escon", sequences.ORDERED_SET),
    "track record": ("eckd", tracks.TRACK_RECORD),
}


_BY_NAME = {entry.name: entry for entry in FORMATS}


def format_named(name: str) -> Format:
    """The format of that name. KeyError when there is none."""
    return _BY_NAME[name]
