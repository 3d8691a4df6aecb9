"""A line between the systems of a rig that goes dead: it carries nothing any more, and does not end either."""

from __future__ import annotations

import trio
import trio.testing


class Line:
    """Streams that carry nothing any more once `dead` is set, and do not end either. which: their names begin so."""

    def __init__(self, which: str = "peer") -> None:
        self.dead = False
        self.which = which

    def join(self, name: str) -> tuple[trio.abc.Stream, trio.abc.Stream]:
        left, right = trio.testing.memory_stream_pair()
        if name.startswith(self.which):
            for stream in (left, right):
                self._may_die(stream)
        return left, right

    def _may_die(self, stream: trio.StapledStream[trio.abc.SendStream, trio.abc.ReceiveStream]) -> None:
        send = stream.send_stream
        send_all = send.send_all

        async def carry(data: bytes) -> None:
            await trio.lowlevel.checkpoint()
            if not self.dead:
                await send_all(data)

        send.send_all = carry  # type: ignore[method-assign,assignment]
