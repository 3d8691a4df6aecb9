"""Bytes to values and back, and nothing else: no state, no clock, no I/O. `formats` lists every format.

The link: escon (constants), crc, frames, batch (many at once), records, sequences, link_control and its fields. The
channel program: ccws, eckd, path_group, device_control, subsystem_orders, subsystem_data, volume_data, sense and its
messages, identity. The disk: geometry, tracks. Remote copy: pprc, pprc_query, pprc_extended_query, bridge. For
people: describe, dissect.
Behind them: layout, which turns a construct definition into a fast codec, and errors, the only error of bytes.
"""
