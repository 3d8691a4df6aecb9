"""Moving along a track: the whole command set reduces to "advance to the next count field".

Source: eckd-commands 3.3; the rule numbers in the comments are its.
"""

from __future__ import annotations

from enum import IntEnum

from ccw.tracks import Record
from controller.commands.chain import ChainState, Orientation
from controller.commands.checks import end_of_cylinder, file_protected, no_count_area, no_record_found
from controller.commands.outcome import UnitCheck

CKD_CONVERSION = 0x20
SEEK_CONTROL = 0x18
NO_SEEK = 0x18
COUNT = Orientation.COUNT


class Search(IntEnum):
    """What kind of command looks for a record; decides what happens at the end of the track."""

    NONE = 0
    IDENTIFIER = 1
    KEY = 2


def r0_missing(chain: ChainState) -> UnitCheck:
    """What a track without R0 is: NRF, on devices before ECKD a track without a readable count area."""
    return no_count_area() if chain.device.kind.before_eckd else no_record_found()


def advance_track(chain: ChainState) -> None:
    """Go to the index of the next track (rule 5).

    Raises FP when the mask forbids it or the track is outside the extent, EOC past the last head outside a domain.
    """
    domain = chain.domain
    heads = chain.device.geometry.heads
    track = chain.track + 1
    at_cylinder_end = track % heads == 0
    if domain is None:
        if chain.mask & SEEK_CONTROL == NO_SEEK:
            raise file_protected()
        if at_cylinder_end:
            raise end_of_cylinder()
        if not chain.first_track <= track <= chain.last_track:
            raise file_protected()
    else:
        outside = not chain.first_track <= track <= chain.last_track
        if at_cylinder_end and chain.attributes & CKD_CONVERSION:
            raise file_protected() if outside else end_of_cylinder()
        if outside:
            raise file_protected(imprecise=True)
    chain.seek(track)


def next_record(
    chain: ChainState, *, multitrack: bool = False, with_r0: bool = False, search: Search = Search.NONE
) -> Record:
    """Advance to the next count field and return its record; orientation becomes COUNT on it.

    `with_r0`: R0 is a record like the others (rule 2). Raises NRF, EOC, FP.
    """
    records = chain.records
    if records is None:
        records = chain.current_records()
    index = chain.next
    while True:
        if index == 0:
            if not records:
                raise r0_missing(chain)  # rule 7
            if not with_r0:
                index = 1
        if index < len(records):
            chain.current = index
            chain.next = index + 1
            chain.orientation = COUNT
            return records[index]
        chain.next = index
        chain.orientation = Orientation.END
        _pass_index(chain, multitrack, search)
        records = chain.current_records()
        index = 0


def _pass_index(chain: ChainState, multitrack: bool, search: Search) -> None:
    """Rule 4: what happens when no further record is on the track."""
    domain = chain.domain
    if chain.index_passed and (domain is not None or not multitrack or search is Search.IDENTIFIER):
        raise no_record_found()
    if multitrack and not (domain is not None and domain.stays_on_track):
        advance_track(chain)
        if search is Search.NONE:
            chain.index_passed = True
    else:
        chain.rewind()
        chain.index_passed = True


def locate_record(chain: ChainState, identifier: bytes) -> None:
    """Search the current track from R0 on for a count area that begins with the 5 bytes `identifier`. Raises NRF."""
    records = chain.current_records()
    for index, record in enumerate(records):
        if record.count[:5] == identifier:
            chain.current = index
            chain.next = index + 1
            chain.orientation = COUNT
            return
    chain.next = len(records)
    chain.orientation = Orientation.END
    raise no_record_found()


def step_over_r0(chain: ChainState) -> None:
    """Stand behind R0 when at index or home address. Raises NRF when the track has no R0."""
    if chain.next == 0:
        if not chain.current_records():
            raise r0_missing(chain)
        chain.current = 0
        chain.next = 1
        chain.orientation = Orientation.DATA


def remaining_records(chain: ChainState, *, with_r0: bool) -> list[Record]:
    """Return the records from the orientation point to the end of the track; orientation becomes END.

    Raises NRF when R0 should be passed but is missing.
    """
    records = chain.current_records()
    index = chain.next
    if index == 0:
        if not records:
            raise r0_missing(chain)
        if not with_r0:
            index = 1
    chain.next = len(records)
    chain.current = len(records) - 1
    chain.orientation = Orientation.END
    return records[index:]
