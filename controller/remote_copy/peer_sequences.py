"""The numbers and the turns of orders between this box and one other: what was sent, and what was received.

Source: pprc-commands 4.2; that one order is under way at a time: project-defined.
"""

from collections.abc import Callable

from controller.remote_copy.procedure import Procedure
from controller.remote_copy.refusal import Refused, reject
from controller.remote_copy.states import Reason

ORDERS_REMEMBERED_MAX = 65_535


class PeerSequences:
    """Request sequence numbers towards and from one other box (pprc-commands 4.2, offset 6).

    The receiver refuses a number older than the last. So one order is under way at a time, whatever path it takes; and
    beside it one that answers an order of the other box, which may be waiting for just that, as this box may be.
    An order whose device is busy steps aside until it is sent again: others go on, but none for that device.
    """

    def __init__(self) -> None:
        self._sent = 0
        self._sending = False
        self._waiting: list[tuple[Callable[[None], None], int | None, object]] = []
        self._giving = False  # `_next_turn` is at work
        self._aside: dict[int, object] = {}  # by device: the order that found it busy
        self._received = 0
        self._bytes = b""
        self._answered = False
        self._refused: Refused | None = None
        self._asking: list[Callable[[Refused | None], None]] = []

    def next(self) -> int:
        self._sent = self._sent % ORDERS_REMEMBERED_MAX + 1
        return self._sent

    def wait_turn(self, reply: Callable[[None], None], device: int | None = None, order: object = None) -> None:
        """Call `reply` when no other order is under way, and none for the device has stepped aside. `end_turn` follows.

        device: None, for one who only waits for what is under way.
        """
        self._waiting.append((reply, device, order))
        self._next_turn()

    def step_aside(self, device: int, order: object) -> None:
        """The order, whose turn it is, found the device busy: no other for the device before it is `over`."""
        self._aside[device] = order

    def over(self, device: int, order: object) -> None:
        """The order is not sent again."""
        if self._aside.get(device) is order:
            del self._aside[device]
            self._next_turn()

    def end_turn(self) -> None:
        """The order was answered, or will not be."""
        self._sending = False
        self._next_turn()

    def _next_turn(self) -> None:
        """Give the turn to whoever may have it; one after the other, as long as each is over at once."""
        if self._giving:
            return
        self._giving = True
        try:
            while not self._sending and (reply := self._first()) is not None:
                self._sending = True
                reply(None)
        finally:
            self._giving = False

    def _first(self) -> Callable[[None], None] | None:
        for index, (reply, device, order) in enumerate(self._waiting):
            if device is None or self._aside.get(device, order) is order:
                del self._waiting[index]
                return reply
        return None

    def accept(self, number: int, data: bytes) -> bool:
        """True: a new order. False: the last one again, to be answered as it was (`again`). Raises Refused (5D)."""
        if number == self._received:
            if data != self._bytes:
                raise reject(Reason.SEQUENCE_REPLAYED)
            return False
        if self._received and not 0 < (number - self._received) % ORDERS_REMEMBERED_MAX <= ORDERS_REMEMBERED_MAX // 2:
            raise reject(Reason.SEQUENCE_REPLAYED)
        self._received, self._bytes = number, bytes(data)
        self._answered, self._refused = False, None
        return True

    def answered(self, number: int, refused: Refused | None) -> None:
        """The order of this number has ended so."""
        if number == self._received and not self._answered:
            self._answered, self._refused = True, refused
            asking, self._asking = self._asking, []
            for reply in asking:
                reply(refused)

    def again(self) -> Procedure[None]:
        """The last order once more: no action, and the end it had, when it has ended. Raises Refused as it did."""
        if not self._answered:
            yield self._asking.append
        if self._refused is not None:
            raise self._refused

    def forget(self) -> None:
        """The peer starts anew: whatever number comes first is accepted."""
        self._received, self._bytes = 0, b""
        self._asking.clear()
