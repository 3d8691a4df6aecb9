"""One ESCON link, both roles. Pure state: records and a time go in, records and callbacks come out.

api.py            the values and the protocol that the link exchanges with the rest of the controller
facility.py       the link-level facility: sequences, connection recovery, the five link states
control_unit.py   the control-unit role: logical paths, selection, data, status, chaining, unsolicited status
                  (control_unit_states.py: its tables; ending.py, answers.py: its frames; owed.py: statuses owed)
channel_role.py   the channel role: logical paths of PPRC ports, chains towards another controller
                  (exchanges.py: its tables)
responder.py      answers to link-control frames
link.py           `Link`: puts them together and keeps the time
"""

from controller.channel.link import (
    ChainCommand,
    ChainResult,
    CommandServer,
    Link,
    LinkCounters,
    LinkSettings,
    LinkState,
    PathId,
    PathReply,
)

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
]
