"""`StreamedLink`: one wide-area link, for whoever owns the connection. See streamed_channel and streamed_control_unit.

The owner feeds what `ccw.streamed.StreamedReader` made of the bytes to `receive_all`, sends what `take_encoded` gives,
and ends the connection when `broken` says why. Link control is that of every link.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ccw import escon
from ccw.frames import CommandFrame, DataFrame, DeviceFrame, Frame, StatusFrame, decode_frame
from ccw.records import RawFrame, RecordReader, SequenceRecord
from ccw.streamed import Buffer, EncodedRecord, Received, ReceivedData, encode_data, encode_repeating
from controller.channel.api import CommandServer, PathId
from controller.channel.channel_role import ChannelRole
from controller.channel.control_unit import ControlUnitRole
from controller.channel.link import Link
from controller.channel.path_table import PathTable
from controller.channel.streamed_channel import StreamedChannel
from controller.channel.streamed_control_unit import StreamedControlUnit

Sent = Frame | SequenceRecord | EncodedRecord

_ROOM_BYTES = 512 << 10
"""As much waits to be taken before whoever has more is kept waiting. It is made just before it goes out: what comes
meanwhile and is urgent has little ahead of it, and its bytes are in the processor's cache still."""


class StreamedLink(Link):
    """See the module head. Its settings have `dib_code` DIB_CODE_MAX."""

    streamed = True
    broken: str | None = None  # why the connection has to end

    def _make_roles(
        self, server: CommandServer, table: PathTable | None
    ) -> tuple[ControlUnitRole | StreamedControlUnit, ChannelRole]:
        self._sent: list[Sent] = []
        self._sent_bytes = 0  # of data, not taken yet
        self._kept_waiting: list[Callable[[], None]] = []
        self._stream_unit = StreamedControlUnit(server, self, self.settings, table)
        return self._stream_unit, StreamedChannel(self, self.settings)

    # The owner of the connection

    def receive_all(self, records: Sequence[Received], now: float) -> None:
        """Take records, in order."""
        self._now = now
        self._depth += 1
        try:
            for record in records:
                if isinstance(record, ReceivedData):
                    self._received_data(record)
                elif isinstance(record, SequenceRecord):
                    self._sequence(record.kind)
                else:
                    self._raw_frame(record)
                if self.broken is not None:
                    break
            self._settle(now)
        finally:
            self._depth -= 1

    def take_encoded(self) -> list[Sent]:
        """What is to be sent next, in order: data frames as they go out, uncopied. See `keeps_waiting`."""
        self._depth += 1
        try:
            while self._kept_waiting and self.has_room:
                self._kept_waiting.pop(0)()
        finally:
            self._depth -= 1
        taken, self._sent = self._sent, []
        self._sent_bytes = 0
        return taken

    @property
    def keeps_waiting(self) -> bool:
        """Whether there is more to be taken as soon as what was taken has gone out."""
        return bool(self._kept_waiting)

    def take(self) -> list[Frame | SequenceRecord]:
        """All that is to be sent, as frames."""
        taken = self.take_encoded()
        while self._kept_waiting:
            taken += self.take_encoded()
        return [_frame_of(item) if isinstance(item, EncodedRecord) else item for item in taken]

    def connection_lost(self, now: float) -> None:
        """The connection is gone: chains end, paths are removed; nothing more is sent."""
        super().connection_lost(now)
        self._sent.clear()
        self._sent_bytes = 0
        self._kept_waiting.clear()

    # Whoever has much to send

    @property
    def has_room(self) -> bool:
        """Whether another chain should be started now: not too much waits to be taken."""
        return self._sent_bytes < _ROOM_BYTES

    def when_room(self, go_on: Callable[[], None]) -> None:
        """Call `go_on` once, in its turn, when there is room; never if the connection is lost before."""
        if go_on not in self._kept_waiting:
            self._kept_waiting.append(go_on)

    # The ports of the two roles

    def send_data(self, image: int, unit_address: int, parts: Sequence[Buffer], end: bool) -> None:
        """Send a data frame of these parts to a control-unit image of the peer."""
        destination, source = self.peer_address << 8 | image, self.own_address << 8
        self._put_record(encode_data(destination, source, unit_address, parts, end))

    def send_device(self, path: PathId, frame: DeviceFrame, *, connect: bool = False, disconnect: bool = False) -> None:
        """Send a device frame to a channel."""
        if isinstance(frame, StatusFrame):
            source = self.own_address << 8 | path.image
            self._put_record(encode_repeating(path.channel, source, frame, connect, disconnect))
        else:
            super().send_device(path, frame, connect=connect, disconnect=disconnect)

    def send_to_image(self, image: int, frame: DeviceFrame, *, connect: bool = False, disconnect: bool = False) -> None:
        """Send a device frame to a control-unit image of the peer."""
        if isinstance(frame, CommandFrame):
            destination, source = self.peer_address << 8 | image, self.own_address << 8
            self._put_record(encode_repeating(destination, source, frame, connect, disconnect))
        else:
            super().send_to_image(image, frame, connect=connect, disconnect=disconnect)

    def _put_record(self, record: EncodedRecord) -> None:
        self.counters.frames_out += 1
        self.counters.bytes_out += record.length
        self._sent_bytes += record.length
        self._sent.append(record)

    def break_off(self, why: str) -> None:
        """The link cannot go on (S4)."""
        self.broken = self.broken or why
        self.on_output()

    def _put(self, item: Frame | SequenceRecord) -> None:
        """No bound: the window of whoever sends is one."""
        if isinstance(item, Frame):
            self.counters.frames_out += 1
            self.counters.bytes_out += escon.LINK_HEADER_LENGTH + escon.LINK_TRAILER_LENGTH + len(item.information)
        self._sent.append(item)

    def _damaged(self) -> None:
        self.break_off("a damaged frame")

    def _received_data(self, data: ReceivedData) -> None:
        self.counters.frames_in += 1
        self.counters.bytes_in += data.length
        unit = self._stream_unit
        if not self._level.initialised or data.destination >> 8 != self.own_address:
            self.counters.discarded += 1
        elif not unit.idle:
            path = PathId(self.link_id, data.source, data.destination & 0x0F)
            unit.data(path, data.unit_address, data.data, data.end)
        else:
            frame = Frame(data.destination, data.source, escon.DEVICE_FRAME)
            device = DataFrame(data.unit_address, bytes(data.data), data.end)
            self._channel.receive(data.source & 0x0F, frame, device)


def _frame_of(record: EncodedRecord) -> Frame:
    """The frame that an encoded record is."""
    (raw,) = RecordReader(escon.WAN_INFORMATION_LENGTH_MAX).feed(b"".join(record.parts))
    assert isinstance(raw, RawFrame)
    return decode_frame(
        raw.payload,
        connect=raw.connect,
        disconnect=raw.disconnect,
        information_limit=escon.WAN_INFORMATION_LENGTH_MAX,
    )
