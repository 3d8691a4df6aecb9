"""The director's tables: what a port can be, what moves it, and why a frame that asks for a connection is refused.

```
  OFFLINE --link up--> INACTIVE <--connect/disconnect--> CONNECTED
     ^  '--assign--> STATIC (link up and down are the partner's as well)
     '--- link down, block --- BLOCKED while blocked, whatever the link does
```
"""

from __future__ import annotations

from enum import Enum, auto

from ccw.escon import LinkControl


class PortState(Enum):
    """What a port of a director can be."""

    OFFLINE = auto()  # no light, or the link is not initialised
    INACTIVE = auto()  # the link is initialised; no connection
    CONNECTED = auto()  # a dynamic connection with another port
    STATIC = auto()  # dedicated to one other port: everything passes
    BLOCKED = auto()  # offline by command: the port sends the offline sequence


class PortEvent(Enum):
    """What can happen to a port."""

    LINK_UP = auto()  # the link-level facility of the port is initialised
    LINK_DOWN = auto()
    CONNECT = auto()  # a frame with connect-SOF was let through
    DISCONNECT = auto()  # disconnect-EOF, or a recovery
    BLOCK = auto()
    UNBLOCK = auto()
    ASSIGN_STATIC = auto()
    REMOVE_STATIC = auto()


_S, _E = PortState, PortEvent

# No row: the event changes nothing.
PORT_TRANSITIONS: dict[tuple[PortState, PortEvent], PortState] = {
    (_S.OFFLINE, _E.LINK_UP): _S.INACTIVE,
    (_S.INACTIVE, _E.LINK_DOWN): _S.OFFLINE,
    (_S.CONNECTED, _E.LINK_DOWN): _S.OFFLINE,
    (_S.INACTIVE, _E.CONNECT): _S.CONNECTED,
    (_S.CONNECTED, _E.DISCONNECT): _S.INACTIVE,
    **{(state, _E.BLOCK): _S.BLOCKED for state in _S},
    (_S.BLOCKED, _E.UNBLOCK): _S.OFFLINE,
    **{(state, _E.ASSIGN_STATIC): _S.STATIC for state in (_S.OFFLINE, _S.INACTIVE, _S.CONNECTED)},
    (_S.STATIC, _E.REMOVE_STATIC): _S.OFFLINE,
}

# Link-control frames that answer; none of them is answered by a port reject or port busy.
ANSWERS = frozenset(
    {
        LinkControl.LPE,
        LinkControl.LPR,
        LinkControl.LACK,
        LinkControl.LRJ,
        LinkControl.LBY,
        LinkControl.TIR,
        LinkControl.IDR,
        LinkControl.PRJ,
        LinkControl.PBY,
        LinkControl.ILA,
    }
)
