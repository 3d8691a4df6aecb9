"""Remote copy's own records in the array's log, so that a restart knows pairs, bitmaps and bridge volumes.

Keys: `pair/p/VV` and `pair/s/VV` (VV unit address), `bridge/VV`, `mark/K` (bridge number), `counter/pair`,
`long_busy/VV` (TOD value at which it ends), `frozen/BOX`, `ended/VV` (the last pair that this box ended), `paths/BOX`
(a path set that comes back after a restart), `bridge_pair/K` (the box and volume that bridge K leads to),
`left_alone/VV` (a command has deleted the pair). BOX is IDENTITY:SSID:LSS in hexadecimal.
Values are JSON; a bitmap is the hex of one bit per track, track 0 first.
The log orders them with the tracks: see `pair`.
"""

import json
from typing import Any

from bitarray import bitarray

from controller.remote_copy.pair import BoxName, Pair, VolumeName
from controller.remote_copy.paths import PathEntry, PathSet
from controller.remote_copy.ports import ArrayPort
from controller.remote_copy.states import BridgeRole, PairState, PathStatus


def pair_key(pair: Pair) -> str:
    return f"pair/{'p' if pair.is_primary else 's'}/{pair.volume:02X}"


def encode_pair(pair: Pair) -> bytes:
    """The pair with everything a restart needs; the bitmap is what is out of sync now."""
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
            "began": pair.began,
            "alone_since": pair.alone_since,
            "consistent": pair.consistent,
            "failed": pair.failed,
            "inhibited": pair.inhibited,
            "out_of_sync": _hex(pair.out_of_sync),
            "uncertain": _hex(pair.uncertain),
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
        began=record.get("began", 0),
        alone_since=record.get("alone_since", 0),
        consistent=record.get("consistent", False),
        failed=record.get("failed", False),
        inhibited=record.get("inhibited", False),
    )
    if record["out_of_sync"]:
        pair.dirty = _bits(record["out_of_sync"], pair.tracks)
    if record.get("uncertain"):
        pair.uncertain = _bits(record["uncertain"], pair.tracks)
    return pair


def _hex(bits: bitarray) -> str:
    return bits.tobytes().hex() if bits.any() else ""


def _bits(text: str, tracks: int) -> bitarray:
    bits = bitarray()
    bits.frombytes(bytes.fromhex(text))
    return bits[:tracks]


def _name(name: VolumeName) -> list[str | int]:
    return [name.identity.hex(), name.ssid, name.lss, name.cca]


def _volume_name(value: list[Any]) -> VolumeName:
    return VolumeName(bytes.fromhex(value[0]), value[1], value[2], value[3])


def _box_key(box: BoxName) -> str:
    return f"{box.identity.hex()}:{box.ssid:04X}:{box.lss:02X}"


def _box_of(key: str) -> BoxName:
    """The box that `_box_key` has named, behind the slash of a key."""
    identity, ssid, lss = key.split("/")[1].split(":")
    return BoxName(bytes.fromhex(identity), int(ssid, 16), int(lss, 16))


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

    def store_ended(self, pair: Pair) -> None:
        """This box has ended the pair at its secondary. A primary that does not know it must not go on where it was."""
        self._array.put(f"ended/{pair.volume:02X}", json.dumps([_name(pair.primary), pair.pair_id]).encode())

    def has_ended(self, volume: int, primary: VolumeName, pair_id: int) -> bool:
        """Has this box ended the pair?"""
        return any(
            json.loads(value) == [_name(primary), pair_id] for _, value in self._array.items(f"ended/{volume:02X}")
        )

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
        self._array.put(f"frozen/{_box_key(box)}", b"1" if frozen else b"")

    def frozen(self) -> list[BoxName]:
        return [_box_of(key) for key, _ in self._array.items("frozen/")]

    def store_paths(self, paths: PathSet) -> None:
        """The definition of a path set."""
        entries = [[e.said, e.link_address, e.image, e.secondary_port, e.link_type] for e in paths.entries]
        value = {"entries": entries, "cgroup": paths.cgroup, "elb_seconds": paths.elb_seconds}
        self._array.put(f"paths/{_box_key(paths.box)}", json.dumps(value).encode())

    def forget_paths(self, box: BoxName) -> None:
        """There is no such set any more."""
        self._array.put(f"paths/{_box_key(box)}", b"")

    def path_sets(self) -> list[PathSet]:
        """The sets as they were defined; none of their paths is established."""
        found = []
        for key, value in self._array.items("paths/"):
            record = json.loads(value)
            entries = [
                PathEntry(said, address, image, port, PathStatus.LINK_OFFLINE, link_type=link_type)
                for said, address, image, port, link_type in record["entries"]
            ]
            found.append(PathSet(_box_of(key), entries, record["cgroup"], record["elb_seconds"]))
        return found

    def store_bridge_pair(self, number: int, secondary: VolumeName | None) -> None:
        """secondary: the data bridge volume that bridge `number` leads to; None: it is not wanted any more."""
        self._array.put(f"bridge_pair/{number}", json.dumps(_name(secondary)).encode() if secondary else b"")

    def bridge_pairs(self) -> dict[int, VolumeName]:
        return {
            int(key.split("/")[1]): _volume_name(json.loads(value)) for key, value in self._array.items("bridge_pair/")
        }

    def store_left_alone(self, volume: int, alone: bool) -> None:
        """alone: a command has deleted the pair of this primary volume, so no host's write begins it anew."""
        if alone != self.left_alone(volume):
            self._array.put(f"left_alone/{volume:02X}", b"1" if alone else b"")

    def left_alone(self, volume: int) -> bool:
        return bool(self._array.items(f"left_alone/{volume:02X}"))

    def store_mark(self, number: int, sequence: int) -> None:
        self._array.put(f"mark/{number}", str(sequence).encode())

    def marks(self) -> dict[int, int]:
        return {int(key.split("/")[1]): int(value) for key, value in self._array.items("mark/")}
