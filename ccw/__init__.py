"""Bytes to values and back, and nothing else: no state, no clock, no I/O.

The link: escon (constants), crc, frames, records, link_control. The channel program: ccws, eckd, sense, identity.
The disk: geometry, tracks. Remote copy: pprc, pprc_query, bridge. For people: describe, dissect. Behind them: layout,
which turns a construct definition into a fast codec, and errors, the one error that bytes can raise.
"""
