"""One ESCON link, both roles. Pure state: records and a time go in, records and callbacks come out.

api.py            the values and the protocol that the link exchanges with the rest of the controller
facility.py       the link-level facility: sequences, connection recovery, the six link states
control_unit.py   the control-unit role: logical paths, selection, data, status, chaining, unsolicited status
                  (control_unit_states.py: its tables; ending.py, answers.py: its frames; owed.py, presenting.py: status
                  of its own; transfer.py: data of a command; control_requests.py: resets and the like; logical_paths.py
                  and path_table.py: who is let in)
channel_role.py   the channel role: logical paths of PPRC ports, chains towards another controller
                  (exchanges.py: its tables; path_requests.py: its link-control requests)
link_level.py     facility, address.py (acquiring a link address) and incidents.py (for whoever listens) together
inbound.py        what becomes of a frame that came in; responder.py: answers to link-control frames
link.py           `Link`: puts them together and keeps the time
director.py       a switch of many ports (director_port.py: one of them; director_states.py: its tables)
"""

from controller.channel.api import (
    ChainCommand,
    ChainResult,
    CommandServer,
    LinkCounters,
    LinkSettings,
    PathId,
    PathReply,
)
from controller.channel.facility import LinkState
from controller.channel.link import Link
from controller.channel.streamed_link import StreamedLink

__all__ = [
    "ChainCommand",
    "ChainResult",
    "CommandServer",
    "Link",
    "LinkCounters",
    "LinkSettings",
    "LinkState",
    "PathId",
    "PathReply",
    "StreamedLink",
]
