"""Remote copy's own records in the array's log, so that a restart knows pairs, bitmaps and bridge volumes.

Keys: `pair/p/VV` and `pair/s/VV` (VV unit address), `bridge/VV`, `mark/K` (bridge number), `counter/pair`,
`long_busy/VV` (TOD value at which it ends), `frozen/IDENTITY:SSID:LSS`.
Values are JSON; a bitmap is the hex of one bit per track, track 0 first.
The log orders them with the tracks: see `pair`.
"""

import json
from typing import Any

from bitarray import bitarray

from controller.remote_copy.pair import BoxName, Pair, VolumeName
from controller.remote_copy.ports import ArrayPort
from controller.remote_copy.states import BridgeRole, PairState


def pair_key(pair: Pair) -> str:
    return f"pair/{'p' if pair.is_primary else 's'}/{pair.volume:02X}"


def encode_pair(pair: Pair) -> bytes:
    """The pair with everything a restart needs; the bitmap is what is out of sync now."""
    bits = pair.out_of_sync
    return json.dumps(
        {
            "id": pair.pair_id,
            "primary": _name(pair.primary),
            "secondary": _name(pair.secondary),
            "volume": pair.volume,
            "tracks": pair.tracks,
            "heads": pair.heads,
            "state": int(pair.state),
            "attributes": pair.attributes,
            "pace": pair.pace,
            "epoch": pair.epoch,
            "suspend_tod": pair.suspend_tod,
            "fixed": not pair.is_primary and pair.reconcile,
            "out_of_sync": bits.tobytes().hex() if bits.any() else "",
        }
    ).encode()


def decode_pair(key: str, value: bytes) -> Pair:
    """The pair as it was stored; its bitmap is in `dirty`."""
    record: dict[str, Any] = json.loads(value)
    pair = Pair(
        pair_id=record["id"],
        is_primary=key.startswith("pair/p/"),
        primary=_volume_name(record["primary"]),
        secondary=_volume_name(record["secondary"]),
        volume=record["volume"],
        tracks=record["tracks"],
        heads=record["heads"],
        state=PairState(record["state"]),
        attributes=record["attributes"],
        pace=record["pace"],
        epoch=record["epoch"],
        suspend_tod=record["suspend_tod"],
        reconcile=record.get("fixed", False),
    )
    if record["out_of_sync"]:
        bits = bitarray()
        bits.frombytes(bytes.fromhex(record["out_of_sync"]))
        pair.dirty = bits[: pair.tracks]
    return pair


def _name(name: VolumeName) -> list[str | int]:
    return [name.identity.hex(), name.ssid, name.lss, name.cca]


def _volume_name(value: list[Any]) -> VolumeName:
    return VolumeName(bytes.fromhex(value[0]), value[1], value[2], value[3])


class Records:
    """Reads and writes them."""

    def __init__(self, array: ArrayPort) -> None:
        self._array = array

    def store(self, pair: Pair) -> None:
        if pair.state is PairState.SIMPLEX:
            self._array.put(pair_key(pair), b"")
        else:
            self._array.put(pair_key(pair), encode_pair(pair))

    def pairs(self) -> list[Pair]:
        return [decode_pair(key, value) for key, value in self._array.items("pair/")]

    def store_bridge(self, volume: int, role: BridgeRole, number: int) -> None:
        value = json.dumps([int(role), number]).encode() if role else b""
        self._array.put(f"bridge/{volume:02X}", value)

    def bridges(self) -> dict[int, tuple[BridgeRole, int]]:
        found = {}
        for key, value in self._array.items("bridge/"):
            role, number = json.loads(value)
            found[int(key.split("/")[1], 16)] = (BridgeRole(role), number)
        return found

    def next_pair_id(self) -> int:
        """A pair id never used by this box before."""
        known = self._array.items("counter/pair")
        number = int(known[0][1]) + 1 if known else 1
        self._array.put("counter/pair", str(number).encode())
        return number

    def store_long_busy(self, volume: int, ends: int) -> None:
        """ends: TOD clock value, 0 for none."""
        self._array.put(f"long_busy/{volume:02X}", str(ends).encode() if ends else b"")

    def long_busy(self) -> dict[int, int]:
        return {int(key.split("/")[1], 16): int(value) for key, value in self._array.items("long_busy/")}

    def store_frozen(self, box: BoxName, frozen: bool) -> None:
        key = f"frozen/{box.identity.hex()}:{box.ssid:04X}:{box.lss:02X}"
        self._array.put(key, b"1" if frozen else b"")

    def frozen(self) -> list[BoxName]:
        found = []
        for key, _ in self._array.items("frozen/"):
            identity, ssid, lss = key.split("/")[1].split(":")
            found.append(BoxName(bytes.fromhex(identity), int(ssid, 16), int(lss, 16)))
        return found

    def store_mark(self, number: int, sequence: int) -> None:
        self._array.put(f"mark/{number}", str(sequence).encode())

    def marks(self) -> dict[int, int]:
        return {int(key.split("/")[1]): int(value) for key, value in self._array.items("mark/")}
