"""The logical paths of one link, control-unit role: who is let in, and why not.

A path is limited by the port (`max_paths` of its settings), by the image (`PathTable`), and by what the server says.
"""

from __future__ import annotations

from ccw.escon import RemovedReason
from controller.channel.api import CommandServer, PathId
from controller.channel.path_table import PathTable


class LogicalPaths(dict[PathId, bytes]):
    """Maps each path to the header that its ELP carried."""

    def __init__(self, server: CommandServer, table: PathTable, max_paths: int) -> None:
        super().__init__()
        self._server = server
        self._table = table
        self._max_paths = max_paths

    def admit(self, path: PathId, header: bytes) -> int | None:
        """Add a path, or ask anew for one that exists; None, or the reason for refusing it (then it is as it was)."""
        known = path in self
        if not known and len(self) >= self._max_paths:
            return int(RemovedReason.OUT_OF_RESOURCES)
        reason = None if known else self._table.refusal(path)
        if reason is None:
            reason = self._server.path_requested(path, header)
        if reason is None:
            if not known:
                self._table.add(path)
            self[path] = header
        return reason

    def forget(self, path: PathId) -> None:
        """The path is gone."""
        del self[path]
        self._table.remove(path)
        self._server.path_removed(path)
