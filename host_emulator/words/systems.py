"""Storage systems and their volumes as the queries name them, and the paths to one of them."""

from __future__ import annotations

from collections.abc import Iterator

from ccw.pprc_query import PathReport, SecondaryPaths, VolumeQuery
from host_emulator.orders import System


def own_of(report: PathReport) -> System:
    """The system that a path report is of."""
    return System(report.ssid, report.lss, report.serial.decode("cp037"))


def system_of(paths: SecondaryPaths) -> System:
    """The system that these paths lead to."""
    return System(paths.ssid, paths.lss, paths.serial.decode("cp037"))


def both(volume: VolumeQuery) -> Iterator[System]:
    """The primary and the secondary system of a volume that is in a pair."""
    yield System(volume.primary_ssid, volume.primary_lss, volume.primary_identity.decode("cp037"))
    yield System(volume.secondary_ssid, volume.secondary_lss, volume.secondary_identity.decode("cp037"))


def text_of(system: System) -> str:
    """SSID:LSS:SERIAL."""
    return f"{system.ssid:04X}:{system.lss:02X}:{system.serial}"


def same(one: System, other: System) -> bool:
    """Are they the same image of the same system, whether or not zeros in front were typed?"""
    return (one.ssid, one.lss, one.identity) == (other.ssid, other.lss, other.identity)


def paths_to(report: PathReport, target: System) -> SecondaryPaths | None:
    """The paths to a system; None where there are none."""
    return next((found for found in report.secondaries if same(system_of(found), target)), None)


def paths_of(report: PathReport, volume: VolumeQuery) -> SecondaryPaths | None:
    """The paths to the system of a primary's secondary."""
    _, secondary = both(volume)
    return paths_to(report, secondary)
