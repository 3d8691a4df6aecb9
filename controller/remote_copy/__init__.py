"""Peer-to-peer remote copy: paths, pairs, bridge volumes, the volume synchronisation queue, status.

Pure state: link replies, durable writes and a clock come in through the ports of `ports.py`; what leaves are
calls on the same ports. `service.RemoteCopy` is the door. Reading order: `states`, `pair`, `bridge_sender`,
`bridge_receiver`, `sync_queue`, `sync_worker`, `bridge_setup` (FIG. 6), `service`.
"""
