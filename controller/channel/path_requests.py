"""The link-control requests of the channel role: which logical paths there are and ought to be, and who is out there.

Rules, numbered for the tests:
P1. A path that was asked for and neither removed nor lost with the link ought to exist. When a director tells that the
    peer can be reached again, every such path that does not exist is established anew.
P2. When a director tells that the peer cannot be reached, its paths are gone at once.
"""

from __future__ import annotations

from collections.abc import Callable

from ccw.escon import LinkControl
from ccw.link_control import LinkControlInfo, decode_path_bitmap
from controller.channel.api import PathReply
from controller.channel.exchanges import Request

_NODE_BYTES = 32


class PathRequests:
    """See the module head. `images`: control-unit images of the peer to which a logical path exists."""

    def __init__(self, submit: Callable[[Request], None]) -> None:
        self._submit = submit
        self.images: set[int] = set()
        self._wanted: dict[int, bytes] = {}  # image -> what followed P0-P3 in ELP
        self.restored: Callable[[int, PathReply], None] = lambda image, reply: None

    def establish(self, image: int, header: bytes, reply: Callable[[PathReply], None]) -> None:
        """ELP with `header` behind its parameters; LPE or LPR answers."""
        self._wanted[image] = header

        def done(answer: int | None, info: LinkControlInfo | None, failure: str | None) -> None:
            if answer == LinkControl.LPE and info is not None:
                self.images.add(image)
                reply(PathReply(True, header=info.trailer))
            else:
                self.images.discard(image)
                reply(PathReply(False, info.reason if info is not None else None, failure))

        self._submit(Request(LinkControl.ELP, image, frozenset({LinkControl.LPE, LinkControl.LPR}), done, header))

    def remove(self, image: int, reply: Callable[[PathReply], None]) -> None:
        """RLP; LPR answers. The path counts as removed whatever comes."""
        self._wanted.pop(image, None)

        def done(answer: int | None, info: LinkControlInfo | None, failure: str | None) -> None:
            self.images.discard(image)
            reply(PathReply(False, info.reason if info is not None else None, failure))

        self._submit(Request(LinkControl.RLP, image, frozenset({LinkControl.LPR}), done))

    def identify(self, reply: Callable[[bytes | None], None]) -> None:
        """RID; the 32-byte node descriptor of IDR, or None."""

        def done(answer: int | None, info: LinkControlInfo | None, failure: str | None) -> None:
            reply(info.trailer if info is not None and len(info.trailer) == _NODE_BYTES else None)

        self._submit(Request(LinkControl.RID, 0, frozenset({LinkControl.IDR}), done))

    def test_initialisation(self, channel_image: int, reply: Callable[[frozenset[int] | None], None]) -> None:
        """TIN; the images that the control unit has a path to us from, as TIR's bitmap says, or None."""

        def done(answer: int | None, info: LinkControlInfo | None, failure: str | None) -> None:
            reply(frozenset(decode_path_bitmap(info.trailer)) if info is not None else None)

        parameters = bytes((0, channel_image, 0, 0))
        self._submit(Request(LinkControl.TIN, 0, frozenset({LinkControl.TIR}), done, parameters=parameters))

    def report_incident(self, listener: int, record: bytes, reply: Callable[[bool], None]) -> None:
        """LIR to the link address that listens; True when LACK came."""

        def done(answer: int | None, info: LinkControlInfo | None, failure: str | None) -> None:
            reply(answer == LinkControl.LACK)

        self._submit(Request(LinkControl.LIR, 0, frozenset({LinkControl.LACK}), done, record, address=listener))

    def link_down(self) -> None:
        """No path is left, and none ought to be: whoever wanted them is told, and asks again."""
        self.images.clear()
        self._wanted.clear()

    def peer_reachable(self) -> None:
        """P1."""
        for image, header in list(self._wanted.items()):
            if image not in self.images:
                self.establish(image, header, lambda reply, image=image: self.restored(image, reply))  # type: ignore[misc]
