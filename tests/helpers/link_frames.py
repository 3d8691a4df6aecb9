"""Frames of the channel of the worked examples, and what the control unit answers them."""

from __future__ import annotations

from ccw.escon import LinkControl
from ccw.frames import Frame, encode_device, encode_frame
from ccw.link_control import decode_link_control
from ccw.records import RawFrame
from controller.channel import Link


def device(frame: object, *, source: int = 0x4001, connect: bool = False, disconnect: bool = False) -> RawFrame:
    """A device frame from the channel to image 2 of the control unit."""
    data = encode_frame(Frame(0x6002, source, 0, encode_device(frame)))  # type: ignore[arg-type]
    return RawFrame(data, connect, disconnect)


def link_control(
    function: int, *, destination: int = 0x6002, source: int = 0x4001, information: bytes = b""
) -> RawFrame:
    return RawFrame(encode_frame(Frame(destination, source, function, information)), True, True)


def only_answer(link: Link) -> Frame:
    (answer,) = link.take()
    assert isinstance(answer, Frame)
    return answer


def reason(link: Link) -> int:
    """The reason of the LRJ that is the only answer."""
    answer = only_answer(link)
    assert answer.link_control == LinkControl.LRJ
    return decode_link_control(answer).reason
