"""Brings the tracks of physical volumes from the log into their image files, in the background of a running system.

A round: choose some tracks; wait until the log holds all that the round needs (V1 of in_place/volume.py); write and
sync the file off the loop's thread; replace the records with stubs.
"""

from collections.abc import Callable, Mapping, Sequence

import trio

from controller.array import DiskError, StoreError
from controller.array.in_place import Destage, InPlaceVolume
from controller.links.committer import Committer, RunBlocking

ROUNDS = 4  # of one volume, one after the other
REST_S = 0.2  # then: a track that is written again and again is not written in place each time
Log = Callable[[int | None, str, Mapping[str, object]], None]


class Destager:
    """Owns the destage of a store's physical volumes while a system runs; closing the store does the rest."""

    def __init__(
        self,
        volumes: Sequence[InPlaceVolume],
        committer: Committer,
        log: Log,
        run_blocking: RunBlocking = trio.to_thread.run_sync,
    ) -> None:
        self._volumes = volumes
        self._committer = committer
        self._log = log
        self._run_blocking = run_blocking
        self._told: set[str] = set()

    async def run(self) -> None:
        """Destage for ever."""
        while True:
            for volume in self._volumes:
                for _ in range(ROUNDS):
                    if not await self.round(volume):
                        break
            await trio.sleep(REST_S)

    async def round(self, volume: InPlaceVolume) -> bool:
        """One batch of tracks of one volume; whether there was any."""
        try:
            destage = volume.begin()
        except StoreError as error:  # no room for copy before write, or a track that cannot be read: later, perhaps
            self._say(volume, str(error))
            return False
        if destage is None:
            return False
        try:
            durable = await self._committer.durable(destage.needs)
        except trio.Cancelled:
            volume.abandon()
            raise
        if not durable:
            volume.failed(DiskError("the array is fenced"))
            return False
        with trio.CancelScope(shield=True):  # what is being written is finished: closing the store goes on from there
            await self._carry_out(volume, destage)
        return True

    async def _carry_out(self, volume: InPlaceVolume, destage: Destage) -> None:
        try:
            await self._run_blocking(destage.write)
        except DiskError as error:
            volume.failed(error)
            self._say(volume, str(volume.fault))
            return
        try:
            volume.finish(destage)
        except StoreError as error:  # the file is ahead of the log: the tracks stay pending
            self._say(volume, str(error))

    def _say(self, volume: InPlaceVolume, why: str) -> None:
        if why not in self._told:
            self._told.add(why)
            self._log(None, "a physical volume cannot be written in place", {"volume": volume.volume, "why": why})
