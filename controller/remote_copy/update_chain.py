"""The chain of conventional remote copy: 27 DA Remote Write Prefix | 63 Define Extent | (4B Locate | 95 x n) ...

It writes whole tracks of one volume to its secondary, which accepts writes in no other chain. The prefix names the pair
and carries its update sequence: one more with each chain, the same again when a chain is repeated.
Source: pprc-commands 4.12, 7.3.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from ccw import pprc
from ccw.geometry import Cchh
from ccw.stored_track import StoredTrack, expand_track
from ccw.tracks import HOME_ADDRESS_LENGTH, null_track
from controller.channel import ChainCommand
from controller.remote_copy.bridge_chain import WRITE_FULL_TRACK, locate_trackset, write_extent
from controller.remote_copy.bridge_record import following
from controller.remote_copy.checks import check_boxes, primary_box
from controller.remote_copy.core import PERFORM_SUBSYSTEM_FUNCTION, Core
from controller.remote_copy.orders import header
from controller.remote_copy.pair import Pair
from controller.remote_copy.procedure import Procedure
from controller.remote_copy.refusal import reject
from controller.remote_copy.states import PairState, Reason

TRACKSET_TRACKS = 16  # that one locate can select, from its first on
ORDERS_NUMBERED = 65_535


class TrackContent(NamedTuple):
    """A track to be written; `stored` None: it was never written here, and becomes an empty track there."""

    track: int
    stored: StoredTrack | None


# The primary's side


def update_chain(pair: Pair, sequence: int, tod: int, tracks: Sequence[TrackContent]) -> list[ChainCommand]:
    """Commands that write `tracks` (ascending, at least one) to the pair's secondary. Raises FormatError."""
    first, last = tracks[0].track, tracks[-1].track
    commands = [
        ChainCommand(PERFORM_SUBSYSTEM_FUNCTION, _prefix(pair, sequence, tod, len(tracks)).encode()),
        write_extent(_place(pair, first), _place(pair, last)),
    ]
    for group in _tracksets(tracks):
        commands.append(_locate(pair, group))
        commands += [ChainCommand(WRITE_FULL_TRACK, _image(pair, content)) for content in group]
    return commands


def _prefix(pair: Pair, sequence: int, tod: int, tracks: int) -> pprc.RemoteWritePrefix:
    """DA. Its request sequence only has to be there: chains of several pairs overtake one another on several paths."""
    head = header(pprc.Order.REMOTE_WRITE_PREFIX, 64, pair.primary, pair.secondary)
    numbered = replace(head, request_sequence=sequence % ORDERS_NUMBERED + 1)
    return pprc.RemoteWritePrefix(numbered, pair.pair_id, sequence, tod, tracks)


def _tracksets(tracks: Sequence[TrackContent]) -> Iterator[list[TrackContent]]:
    """Tracks that lie no further apart than one locate reaches."""
    group: list[TrackContent] = []
    for content in tracks:
        if group and content.track - group[0].track >= TRACKSET_TRACKS:
            yield group
            group = []
        group.append(content)
    yield group


def _locate(pair: Pair, group: list[TrackContent]) -> ChainCommand:
    first = group[0].track
    bits = sum(0x8000 >> content.track - first for content in group)
    return locate_trackset(_place(pair, first), len(group), bits)


def _place(pair: Pair, track: int) -> Cchh:
    return Cchh(*divmod(track, pair.heads))


def _image(pair: Pair, content: TrackContent) -> bytes:
    stored = content.stored
    image = expand_track(stored) if stored is not None else null_track(*_place(pair, content.track))
    return image[HOME_ADDRESS_LENGTH:]


# The secondary's side


def accept_update(core: Core, order: pprc.RemoteWritePrefix, volume: int) -> Procedure[None]:
    """DA from the primary's box: the writes that follow in its chain are for this pair. Raises Refused."""
    check_boxes(order.header, core.own, own_is_primary=False)
    if order.header.secondary_cca != volume:
        raise reject(Reason.NOT_THE_ONE_NAMED)
    pair = core.secondaries.get(volume)
    if pair is None or pair.pair_id != order.pair_id or pair.primary.box != primary_box(order.header):
        raise reject(Reason.NOT_THE_SECONDARY, pair_id=order.pair_id)
    if pair.state is PairState.SUSPENDED_SECONDARY_COMMAND or order.tod < pair.not_before:
        raise reject(Reason.DESTINATION_SUSPENDED, pair_id=pair.pair_id)
    if pair.state.suspended:
        raise reject(Reason.STATE, pair_id=pair.pair_id)
    expected = following(pair.update_sequence)
    if order.update_sequence not in (pair.update_sequence, expected):
        raise reject(Reason.SEQUENCE_GAP, pair_id=pair.pair_id, expected=expected)
    pair.update_sequence = order.update_sequence
    yield from ()
