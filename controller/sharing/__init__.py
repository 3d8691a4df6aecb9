"""Volumes shared with emulated mainframes: the server side of Hercules' shared-device protocol, without its sockets.

A client runs channel programs itself; it asks for whole track images and sends back what it changed. Start in server.py
(who may attach to what), then session.py (one connection), volume.py (one device: ownership, purge lists, hardening).
Pure state: requests go in, answers come out by a callback. The shell is controller/links/shared_dasd.py.
"""

from controller.sharing.server import ShareServer, ShareSettings
from controller.sharing.session import Session

__all__ = ["Session", "ShareServer", "ShareSettings"]
