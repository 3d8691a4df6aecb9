"""What another storage system sends, over a path whose ELP carried its name: D7, DA and the other orders.

Each order travels as frames through a live link, and its sense comes back the same way (channel_program). What the
header deserves is judged by the rules of order_fuzz, with what differs for a peer: a request sequence that is not zero
and goes up, D7 taken. Behind that D7 is judged by a model of the volume's state, after pprc-commands 4.2, 4.10 and 6.2;
where the specification leaves the order of two rules open, the reasons of both are right. A host at a path of its own
finds out whether a volume is a secondary: it may not touch it then, and may otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from ccw.escon import LinkControl
from ccw.frames import Frame, encode_frame
from ccw.records import RawFrame, SequenceRecord
from host_emulator import orders
from host_emulator.orders import System
from tests.fuzz import order_fuzz
from tests.fuzz.box import Box
from tests.fuzz.channel_program import ProgramChannel
from tests.fuzz.engine import Failure, watched
from tests.fuzz.link_fuzz import CHANNEL, UNIT, held_in, nothing_piles_up
from tests.fuzz.mutation import mutate
from tests.helpers.two_systems import CYLINDERS, HEADS, VOLUMES

OWN, PEER = System(0x0100, 0, "000000012345"), System(0x0200, 0, "000000067890")
PEER_CHANNEL = CHANNEL + 1
BOX_CASES = 500
ANY_STATE = 0xFF
UPDATE_FIELDS = [(n, 1) for n in (1, 5, 11, 15, 40, 41, 42, 43, 64, 65)]
UPDATE_FIELDS += [(2, 2), (6, 2), (8, 2), (12, 2), (44, 4), (56, 4), (60, 2), (62, 2), (16, 12), (28, 12)]

Refusal = tuple[int, int]       # message, and pointer (4) or reason (0F); message 0: none
OK: Refusal = (0, 0)


def _because(reason: int) -> Refusal:
    return 0x0F, reason


IDENTITY, NOT_NAMED, SAME_IMAGE = _because(0x48), _because(0x44), _because(0x5F)
NOT_IN_PAIR, STATE, GEOMETRY, REPLAYED, NO_PAIR = (_because(reason) for reason in (0x43, 0x45, 0x49, 0x5D, 0x62))
GAP, SUSPENDED, NOT_READY = _because(0x63), _because(0x69), _because(0x67)
HELD = 4        # suspended by command at the secondary: only a new copy ends that, no error of the primary
ERRORS = (6, 8, 9)
NO_BRIDGE = {_because(reason) for reason in (0x45, 0x4C, 0x4D, 0x50)}


@dataclass
class Secondary:
    """A volume that was made a secondary, as the judge knows it."""

    pair_id: int
    state: int
    primary: bytes      # SSID, LSS, CCA and identity of its primary

    @property
    def box(self) -> bytes:
        """The primary's storage system."""
        return self.primary[:3] + self.primary[4:]


@dataclass
class PeerJudge:
    """Which refusal an order of the peer deserves. `volumes`: those that are secondaries.

    `ended`: by volume the primary and the id of the pair that a host has recovered; it is not taken up again.
    """

    volumes: dict[int, Secondary] = field(default_factory=dict)
    ended: dict[int, tuple[bytes, int]] = field(default_factory=dict)
    number: int = 0
    last: bytes = b""
    again: bool = False  # the order judged last was the one before it once more

    def judge(self, data: bytes, device: int) -> set[Refusal] | None:
        """None: it is not for this judge, or the last one again, which is answered as it was.

        The request sequence counts as taken when nothing of the header is wrong; that of DA only has to be there.
        """
        wrong = order_fuzz.judge(data, peer=True)
        if wrong is not None:
            return {wrong}
        if data[0] == 0xDA:
            return self.write_prefix(data, device)
        number = data[6] << 8 | data[7]
        length = order_fuzz.RULES[data[0]].length
        self.again = number == self.number
        if self.again:
            return None if data[:length] == self.last else {REPLAYED}
        if self.number and not 0 < (number - self.number) % 65536 <= 32768:
            return {REPLAYED}
        self.number, self.last = number, data[:length]
        return self.update(data, device) if data[0] == 0xD7 else None

    def update(self, data: bytes, device: int) -> set[Refusal]:
        """D7: a new state (selector 00), a status bridge that is ready (01), a sign of life (02)."""
        wrong = self._named_wrong(data, device)
        role, bridge_flag = data[42], bool(data[1] & 0x40)
        if data[40] > 0x0A and not data[5]:
            wrong.add((4, 40))
        if data[5] == 1 and role != 2:
            wrong.add((4, 42))
        if role > 2 or bridge_flag != bool(role):
            wrong.add((4, 42))
        if data[43] > 8:
            wrong.add((4, 43))
        if not any(data[44:48]) and not data[5]:
            wrong.add((4, 44))
        if data[5] == 2:
            return wrong or {self._alive(data, device, role)}
        if role or bridge_flag:
            return wrong | NO_BRIDGE
        return wrong | self._state_wrong(data, device) or {OK}

    def _alive(self, data: bytes, device: int, role: int) -> Refusal:
        """The answer to a sign of life: about a data bridge, of which there is none here, a status bridge or a pair."""
        known, pair = self.volumes.get(device), (int.from_bytes(data[44:48], "big"), data[8:11] + data[16:28])
        if role:
            return NOT_READY if role == 1 else OK
        if known is None or (known.pair_id, known.box) != pair:
            return NO_PAIR
        return SUSPENDED if known.state == HELD else OK

    def write_prefix(self, data: bytes, device: int) -> set[Refusal]:
        """DA for a pair that is copied conventionally. Its update sequence begins at 1; chains here never have data."""
        wrong = self._named_wrong(data, device)
        known, pair = self.volumes.get(device), (int.from_bytes(data[40:44], "big"), data[8:11] + data[16:28])
        if known is None or (known.pair_id, known.box) != pair:
            wrong.add(NO_PAIR)
        return wrong or {OK, SUSPENDED, GAP}

    @staticmethod
    def _named_wrong(data: bytes, device: int) -> set[Refusal]:
        own = (OWN.ssid.to_bytes(2, "big") + bytes((OWN.lss,)), OWN.identity)
        primary, secondary = (data[8:11], data[16:28]), (data[12:15], data[28:40])
        wrong = set()
        if secondary != own:
            wrong.add(IDENTITY)
        if primary == own:
            wrong.add(SAME_IMAGE)
        if data[15] != device:
            wrong.add(NOT_NAMED)
        return wrong

    def _state_wrong(self, data: bytes, device: int) -> set[Refusal]:
        new, expected, known = data[40], data[41], self.volumes.get(device)
        present = known.state if known else 0
        pair_id = int.from_bytes(data[44:48], "big")
        wrong = {STATE} if expected not in (ANY_STATE, present) else set()
        over = {NO_PAIR} if self.ended.get(device) == (data[8:12] + data[16:28], pair_id) else set()
        if known is None:
            if new == 0:
                return wrong
            wrong |= over
            if new not in (1, 2):
                return wrong | {NOT_IN_PAIR}
            return wrong | ({GEOMETRY} if self._geometry_wrong(data) else set())
        if known.pair_id == pair_id and known.box == data[8:11] + data[16:28]:
            return wrong | ({SUSPENDED} if (known.state, new) == (HELD, 2) else set())
        if new == 1 and known.primary == data[8:12] + data[16:28]:      # the same volume starts over
            return wrong | over | ({GEOMETRY} if self._geometry_wrong(data) else set())
        return wrong | {NO_PAIR}

    @staticmethod
    def _geometry_wrong(data: bytes) -> bool:
        cylinders, heads, kind = (int.from_bytes(data[at : at + n], "big") for at, n in ((56, 4), (60, 2), (62, 2)))
        return cylinders > CYLINDERS or heads != HEADS or kind != 0x3390

    def taken(self, data: bytes, device: int) -> None:
        """An order that changes the volume was accepted: an update, or delete, recover or suspend."""
        if data[0] == 0xD4:
            if device in self.volumes:
                self.volumes[device].state = HELD
        elif data[0] == 0xD7 and data[5]:
            return
        elif data[0] in (0xD3, 0xD5) or data[40] == 0:
            known = self.volumes.pop(device, None)
            if known is not None and data[0] == 0xD5:
                self.ended[device] = known.primary, known.pair_id
        else:
            pair_id, known = int.from_bytes(data[44:48], "big"), self.volumes.get(device)
            if known is not None and known.pair_id == pair_id and known.box == data[8:11] + data[16:28]:
                if known.state != HELD or data[40] not in ERRORS:
                    known.state = data[40]
            else:
                self.volumes[device] = Secondary(pair_id, data[40], data[8:12] + data[16:28])


class PeerFuzz:
    """A box, a host's path and a peer's on one link, and the judge."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(f"peer/{seed}")
        self.judged = self.accepted = self.inhibited = 0
        self.refusals: dict[Refusal, int] = {}
        self.sent = b""
        self.begin()
        self.held_by_a_new_one = held_in(self.box)

    def begin(self) -> None:
        """A new box with both paths."""
        self.box = Box()
        link = self.box.new_link()
        self.judge = PeerJudge()
        self.host = ProgramChannel(self.rng, UNIT, CHANNEL, self.carry, self.wait)
        self.peer = ProgramChannel(self.rng, UNIT, PEER_CHANNEL, self.carry, self.wait)
        name = orders.order_header(0, 40, PEER, OWN).encode()
        for channel, header in ((CHANNEL, b""), (PEER_CHANNEL, name)):
            elp = Frame(UNIT, channel, LinkControl.ELP, bytes(4) + header)
            answer = self.carry(RawFrame(encode_frame(elp), True, True))
            assert [item.link_control for item in answer if isinstance(item, Frame)] == [LinkControl.LPE], answer
        assert sum(self.box.subsystem.is_peer(path) for path in link.paths) == 1

    def carry(self, record: RawFrame) -> list[Frame | SequenceRecord]:
        assert self.box.link is not None
        self.box.link.receive(record, self.box.time)
        return self.box.link.take()

    def wait(self, seconds: float) -> list[Frame | SequenceRecord]:
        self.box.pass_time(seconds)
        assert self.box.link is not None
        return self.box.link.take()

    def step(self, case: int) -> None:
        """One order, or one look of the host. Raises AssertionError."""
        if case % BOX_CASES == BOX_CASES - 1:
            self.begin()
        rng = self.rng
        device = rng.choice(VOLUMES[:2])
        if rng.random() < 0.2:
            self._host_looks(device)
            return
        data = self._update(device) if rng.random() < 0.75 else self._other_order(device)
        number = (self.judge.number + rng.choice((*(1,) * 16, 2, 0, -1, 40_000))) % 65536
        if rng.random() < 0.97 and len(data) > 8:
            data = data[:6] + number.to_bytes(2, "big") + data[8:]
        if rng.random() < 0.03 and self.judge.last:
            data = self.judge.last
        self.sent = data
        if not data or data[0] not in order_fuzz.RULES:
            return
        right = self.judge.judge(data, device)
        ended = self.peer.run(device, [(0x27, data)])
        self._compare(data, device, ended.sense, ended.status, right)
        if not case & 0x3F:
            nothing_piles_up(self.box, self.held_by_a_new_one)

    def _compare(
        self, data: bytes, device: int, sense: bytes | None, status: int, right: set[Refusal] | None
    ) -> None:
        found = OK if sense is None else (sense[7], sense[9] if sense[7] in (3, 4) else sense[8])
        self.refusals[found] = self.refusals.get(found, 0) + 1
        if right == {(3, -1)}:
            right, found = {(3, 0)}, (found[0], 0)
        assert status == (0x0C if found == OK else 0x0E), f"status {status:02X}"
        if right is not None:
            self.judged += 1
            assert found in right, f"order answered {found}, right would be {sorted(right)}"
        elif found != OK and data[0] != 0xD7:
            assert found[0] == 0x0F or found == (4, 0), f"an order refused for its header, which is right: {found}"
        changes = data[0] in (0xD3, 0xD4, 0xD5) or (data[0] == 0xD7 and right is not None)
        if found == OK and changes and not self.judge.again:
            self.accepted += 1
            self.judge.taken(data, device)

    def _update(self, device: int) -> bytes:
        """A D7 that fits, and often a changed one."""
        rng, known = self.rng, self.judge.volumes.get(device)
        pair_id = known.pair_id if known and rng.random() < 0.9 else rng.choice((1, 2, 0x7F000000))
        expected = rng.choice((ANY_STATE, known.state if known else 0, rng.randrange(11)))
        new = rng.choice((0, 0, 1, 1, 1, 2, 2, 3, 5, 6, 10))
        header = orders.order_header(0xD7, 72, PEER, OWN, device, device).encode()
        data = header + bytes((new, expected, 0, 0)) + pair_id.to_bytes(4, "big") + bytes(8)
        data += CYLINDERS.to_bytes(4, "big") + HEADS.to_bytes(2, "big") + b"\x33\x90" + bytes(8)
        return mutate(rng, (data,), UPDATE_FIELDS) if rng.random() < 0.4 else data

    def _other_order(self, device: int) -> bytes:
        rng = self.rng
        order = rng.choice((0xDA, 0xDA, 0xDA, 0xD3, 0xD4, 0xD5))
        length = order_fuzz.RULES[order].length
        data = orders.order_header(order, length, PEER, OWN, device, device).encode().ljust(length, b"\0")
        return mutate(rng, (data,), order_fuzz.FIELDS) if rng.random() < 0.6 else data

    def _host_looks(self, device: int) -> None:
        """6.2: a data command to a secondary is refused at its Define Extent, and only there."""
        self.sent = bytes((0x40, 0xC0)) + bytes(6) + bytes(8)
        ended = self.host.run(device, [(0x63, self.sent)], goes_on=True)
        refused = ended.sense is not None and (ended.sense[0], ended.sense[7]) == (0x80, 0x0E)
        assert refused or ended.sense is None, f"Define Extent of a host: {ended}"
        touched = "must not" if refused else "may"
        assert refused == (device in self.judge.volumes), f"device {device:02X}: a host {touched} touch it"
        self.inhibited += refused


def run(seed: int, cases: int) -> PeerFuzz:
    """Run cases. Raises Failure."""
    fuzz = PeerFuzz(seed)
    with watched() as alive:
        for case in range(cases):
            if not case & 0x3F:
                alive()
            try:
                fuzz.step(case)
            except Exception as error:
                raise Failure("peer", seed, case, fuzz.sent, f"{type(error).__name__}: {error}") from error
    return fuzz
