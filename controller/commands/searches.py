"""Search HA, Search ID, Search Key: compare the argument with the track, status modifier when satisfied.

A shorter CCW compares a prefix; it can satisfy the search but gives no permission to write. Source: eckd-commands 3.5.
"""

from __future__ import annotations

from ccw.geometry import track_address_bytes
from controller.commands.chain import ChainState, Orientation, Permission
from controller.commands.ending import NORMAL_END, STATUS_MODIFIER, Ending
from controller.commands.orientation import Search, advance_track, next_record
from controller.commands.outcome import Command
from controller.commands.overflow import plain

MULTITRACK = 0x80
EQUAL = 0x20
HIGH = 0x40
IDENTIFIER_BYTES = 5
HOME_ADDRESS_BYTES = 4
SATISFIED = NORMAL_END | STATUS_MODIFIER
_ID_EQUAL, _IDENTIFIER = Permission.ID_EQUAL, Search.IDENTIFIER  # looked up once: long loops of searches pass here


def search_identifier(chain: ChainState, command: Command) -> Ending:
    """Search ID 31, 51, 71 (and multitrack): the 5 bytes CCHHR of the next count area, R0 included."""
    code = command.code
    record = next_record(chain, multitrack=code >= MULTITRACK, with_r0=True, search=_IDENTIFIER)
    argument = command.data[:IDENTIFIER_BYTES]
    count = plain(record.count) if chain.device.kind.track_overflow else record.count
    field = count[: len(argument)]
    if field == argument:
        satisfied = code & EQUAL
        if code & HIGH == 0 and len(argument) == IDENTIFIER_BYTES:
            chain.permissions |= _ID_EQUAL
            return SATISFIED, b"", IDENTIFIER_BYTES
    else:
        satisfied = code & HIGH and field > argument
    chain.permissions &= ~_ID_EQUAL
    return (SATISFIED if satisfied else NORMAL_END), b"", IDENTIFIER_BYTES


def search_key(chain: ChainState, command: Command) -> Ending:
    """Search Key 29, 49, 69 (and multitrack): the key of this record (from COUNT), else of the next user record."""
    code = command.code
    if chain.orientation is Orientation.COUNT:
        record = chain.current_records()[chain.current]
    else:
        record = next_record(chain, multitrack=code >= MULTITRACK, search=Search.KEY)
    chain.orientation = Orientation.KEY
    chain.permissions &= ~Permission.KEY_EQUAL
    key = record.key
    if not key:
        return NORMAL_END, b"", 0
    argument = command.data[: len(key)]
    field = key[: len(argument)]
    if field == argument:
        satisfied = code & EQUAL
        if code & HIGH == 0 and len(argument) == len(key):
            chain.permissions |= Permission.KEY_EQUAL
    else:
        satisfied = code & HIGH and field > argument
    return (SATISFIED if satisfied else NORMAL_END), b"", len(key)


def search_home_address(chain: ChainState, command: Command) -> Ending:
    """Search HA Equal 39/B9: CCHH of the home address; the multitrack form goes one track further first."""
    if command.code >= MULTITRACK:
        advance_track(chain)
    else:
        chain.rewind()
    chain.orientation = Orientation.HOME_ADDRESS
    argument = command.data[:HOME_ADDRESS_BYTES]
    satisfied = home_address(chain)[: len(argument)] == argument
    if satisfied and len(argument) == HOME_ADDRESS_BYTES:
        chain.permissions |= Permission.HOME_ADDRESS_EQUAL
    else:
        chain.permissions &= ~Permission.HOME_ADDRESS_EQUAL
    return (SATISFIED if satisfied else NORMAL_END), b"", HOME_ADDRESS_BYTES


def home_address(chain: ChainState) -> bytes:
    """Return the 4 bytes CCHH of the current track."""
    return track_address_bytes(*divmod(chain.track, chain.device.geometry.heads))
