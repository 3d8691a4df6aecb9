"""What the machine does without us, in the same run: the ceilings that the figures are held against."""

from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path

LOOPBACK_BYTES = 1 << 30
PIECE = bytes(1 << 20)
BATCH_PARTS, BATCHES = 64, 40


def loopback_mb_per_s(total: int = LOOPBACK_BYTES) -> float:
    """A plain TCP copy over the loopback, 10**6 bytes a second."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        sender = socket.create_connection(server.getsockname())
        receiver, _ = server.accept()
    buffer = bytearray(1 << 20)

    def receive() -> None:
        while receiver.recv_into(buffer):
            pass

    thread = threading.Thread(target=receive)
    thread.start()
    start = time.perf_counter()
    sent = 0
    while sent < total:
        sent += sender.send(PIECE)
    sender.close()
    thread.join()
    receiver.close()
    return sent / (time.perf_counter() - start) / 1e6


def durable_mb_per_s(folder: Path) -> float:
    """Tracks written to a preallocated file in batches of 64, each batch made durable."""
    track = os.urandom(56_704)
    length = len(track) * BATCH_PARTS
    path = folder / "ceiling"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        os.pwrite(descriptor, bytes(length * BATCHES), 0)
        os.fdatasync(descriptor)
        start = time.perf_counter()
        for batch in range(BATCHES):
            os.pwritev(descriptor, [track] * BATCH_PARTS, batch * length)
            os.fdatasync(descriptor)
        return length * BATCHES / (time.perf_counter() - start) / 1e6
    finally:
        os.close(descriptor)
        path.unlink()
