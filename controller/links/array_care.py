"""Looks after the parity array of a running system: says what happens to it, rebuilds, scrubs, takes orders.

Orders come as a file, `array-order.json` beside the event log, written by `trackbridge array` when it finds the array
in use: {"do": "replace", "device": 2} (from 0) or {"do": "scrub"}. `array-status.json` there says how the array is.
"""

import json
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import trio

from controller.array import DiskError, FileDisk, StoreError
from controller.array.parity import Condition, ParityDisk, Rebuild, Scrub, attach, check_vacant, status_of

ORDER_FILE = "array-order.json"
STATUS_FILE = "array-status.json"
LOOK_EVERY_S = 1.0
STEP_BYTES = 1 << 20
PAUSE_S = 0.001  # between two steps, so that commits always find their turn

RunBlocking = Callable[..., Awaitable[Any]]
Log = Callable[[int | None, str, Mapping[str, object]], None]


class ArrayCare:
    """One array. `run` goes on until cancelled; the array's own work runs off the loop's thread."""

    def __init__(
        self, disk: ParityDisk, directory: Path, log: Log, run_blocking: RunBlocking = trio.to_thread.run_sync
    ) -> None:
        self._disk = disk
        self._directory = directory
        self._log = log
        self._run_blocking = run_blocking
        self._status: dict[str, Any] = {}

    async def run(self) -> None:
        """Look after the array for ever."""
        while True:
            await self.look()
            await trio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """One round: carry out an order, finish a rebuild that is due, tell what happened."""
        order = self._take_order()
        if order is not None:
            await self._carry_out(order)
        if any(member.condition == Condition.REBUILDING for member in self._disk.state.members):
            await self._work(Rebuild(self._disk), "rebuild")
        await self._tell()

    async def _carry_out(self, order: dict[str, Any]) -> None:
        try:
            if order.get("do") == "replace":
                await self._run_blocking(self._replace, int(order["device"]))
            elif order.get("do") == "scrub":
                scrub = Scrub(self._disk)
                await self._work(scrub, "scrub")
                damage = [one._asdict() for one in scrub.damage[:100]]
                figures = {"checked": scrub.checked, "found": len(scrub.damage), "damage": damage}
                self._log(None, "array scrubbed", figures)
            else:
                self._log(None, "an order for the array is not known", {"order": order})
        except (StoreError, LookupError, TypeError, ValueError) as error:
            self._log(None, "an order for the array failed", {"order": order, "why": str(error)})

    def _replace(self, index: int) -> None:
        device = self._disk.devices[index]
        check_vacant(self._disk, index)
        medium = FileDisk(device.name)
        try:
            attach(self._disk, index, medium)
        except BaseException:
            if device.disk is not medium:
                medium.close()
            raise

    async def _work(self, work: Rebuild | Scrub, what: str) -> None:
        """Step by step; a line in the log each tenth part."""
        told = -1
        try:
            while await self._run_blocking(work.step, STEP_BYTES):
                progress = work.progress()
                tenth = progress.done * 10 // max(progress.total, 1)
                if tenth != told:
                    told = tenth
                    self._log(None, f"array {what}", {"done": progress.done, "total": progress.total})
                    await self._tell()
                await trio.sleep(PAUSE_S)
        except DiskError as error:
            self._log(None, f"array {what} stopped", {"why": str(error)})

    async def _tell(self) -> None:
        """Notices to the log, the status to its file when it changed."""
        while self._disk.notices:
            self._log(None, "array", {"notice": self._disk.notices.popleft()})
        status = await self._run_blocking(status_of, self._disk)
        if status != self._status:
            self._status = status
            await self._run_blocking(replace_file, self._directory / STATUS_FILE, json.dumps(status, indent=2))

    def _take_order(self) -> dict[str, Any] | None:
        path = self._directory / ORDER_FILE
        try:
            text = path.read_text(encoding="utf-8")
            path.unlink()
            order = json.loads(text)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            self._log(None, "an order for the array cannot be read", {"why": str(error)})
            return None
        return order if isinstance(order, dict) else {"do": str(order)}


def replace_file(path: Path, text: str) -> None:
    """Write a file whole, or not at all."""
    new = path.with_name(path.name + ".new")
    new.write_text(text + "\n", encoding="utf-8")
    os.replace(new, path)
