"""Whether a system that runs as a process has its links, as its event log tells it."""

from __future__ import annotations

import json
import time

from controller.config import load_config
from tests.helpers.patience import PATIENCE_S
from tools.demo_sites import SiteProcess


def lit(site: SiteProcess) -> set[int]:
    """The SAIDs of the ports that have a link now. A system that was killed and started again begins with none."""
    links: set[str] = set()
    last_s = 0.0
    log = load_config(site.folder / f"{site.name}.toml").store / "events.jsonl"
    for line in log.read_text(encoding="utf-8").splitlines(keepends=True):
        if not line.endswith("\n"):
            break  # half written
        event = json.loads(line)
        if event["t"] < last_s:  # times are since its start
            links.clear()
        last_s = event["t"]
        match event["text"]:
            case "link up":
                links.add(event["link"])
            case "link down":
                links.discard(event["link"])
    return {int(link.partition("/")[0], 16) for link in links}


def until_lit(site: SiteProcess, *saids: int) -> None:
    """Wait until these ports have light: orders for their paths are refused before."""
    give_up_at = time.monotonic() + PATIENCE_S
    while not lit(site).issuperset(saids):
        assert time.monotonic() < give_up_at, f"system {site.name} has no link at some of {saids}"
        time.sleep(0.02)
