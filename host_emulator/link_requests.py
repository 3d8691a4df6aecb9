"""The link-control exchanges of a channel: address, logical path, node descriptor, test initialisation."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from ccw import escon
from ccw.escon import LinkControl
from ccw.link_control import LinkControlInfo, decode_path_bitmap, link_control_frame
from host_emulator.link_end import Heard, LinkEnd, Script, Silence
from host_emulator.link_values import LinkFailure, NoPath

BUSY = frozenset({LinkControl.LBY, LinkControl.PBY})


class LinkControlExchanges(LinkEnd):
    """Scripts of link-control frames; see link.py for how they are run."""

    def acquire_address(self) -> Script:
        """ALA. Returns True when a director assigned an address, False when this end took its own."""
        for _ in range(self.settings.tries):
            source = escon.WHO_AM_I << 8
            self.send(link_control_frame(LinkControl.ALA, escon.TO_WHOM_IT_MAY_CONCERN << 8, source))
            heard = yield escon.ACQUIRE_LINK_ADDRESS_RETRY_S
            if isinstance(heard, Heard) and heard.info is not None:
                if heard.frame.link_control == LinkControl.LACK:
                    self.link_address = heard.info.parameters[0]
                    return True
                if heard.frame.link_control == LinkControl.LRJ:
                    self.link_address = self.settings.link_address
                    return False
            self.counters.timeouts += heard is Silence.TIMEOUT
        raise LinkFailure("no answer to acquire link address")

    def establish(self, image: int, header: bytes = b"") -> Script:
        """ELP to a control-unit image, 0-15. Raises NoPath with the reason of LPR.

        `header`: the 40 bytes by which a storage system says that the path is a peer's; a host sends none.
        """
        self.image = None
        answer, info = yield from self._request(
            LinkControl.ELP, image, LinkControl.LPE, LinkControl.LPR, trailer=header
        )
        if answer == LinkControl.LPR:
            reason = info.reason
            raise NoPath(f"logical path to image {image:X} refused, reason {reason}", reason)
        self.image = image

    def remove(self) -> Script:
        """RLP for the path there is."""
        image, self.image = self.image, None
        if image is not None:
            yield from self._request(LinkControl.RLP, image, LinkControl.LPR)

    def identify(self) -> Script:
        """RID; returns the 32-byte node descriptor."""
        _, info = yield from self._request(LinkControl.RID, 0, LinkControl.IDR)
        return info.trailer

    def test_initialisation(self) -> Script:
        """TIN; returns the numbers of the control-unit images to which a path from this channel exists."""
        parameters = bytes((0, self.settings.channel_image, 0, 0))
        _, info = yield from self._request(LinkControl.TIN, 0, LinkControl.TIR, parameters=parameters)
        return frozenset(decode_path_bitmap(info.trailer))

    def _request(
        self, function: int, image: int, *answers: int, parameters: bytes = bytes(4), trailer: bytes = b""
    ) -> Generator[float, Any, tuple[int, LinkControlInfo]]:
        """Send a link-control request until one of `answers` comes.

        Raises NoPath when it was refused to the end, LinkFailure when nobody answered.
        """
        refusal = ""
        attempts = busy = 0
        while attempts < self.settings.tries:
            self.send(link_control_frame(function, self.unit_image(image), self.own(), parameters, trailer))
            heard = yield self.settings.link_timeout_s
            attempts += 1
            if isinstance(heard, Heard) and heard.info is not None:
                if heard.frame.link_control in answers:
                    return heard.frame.link_control, heard.info
                if heard.frame.link_control in BUSY and busy < self.busy_limit():
                    attempts, busy = attempts - 1, busy + 1
                refusal = f"{LinkControl(heard.frame.link_control).name} reason {heard.info.reason:02X}"
                yield self.settings.recovery_s
            else:
                self.counters.timeouts += 1
        name = LinkControl(function).name
        if refusal:
            raise NoPath(f"{name} was answered by {refusal}")
        raise LinkFailure(f"no answer to {name}")

    def busy_limit(self) -> int:
        """How often a busy answer is taken before it counts as a refusal."""
        return int(self.settings.busy_timeout_s / self.settings.recovery_s)
