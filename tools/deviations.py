"""Where a recorded machine is known to answer otherwise than the manuals: rules, each with its reason and source.

A rule looks at one difference and at the program it is in. It never knows a recording or a program number, so it holds
for any trace of the same machine. A difference that no rule explains is a difference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ccw.ccws import CommandCode
from tools import deviation_rules as rules
from tools.found import Found


@dataclass(frozen=True, slots=True)
class Deviation:
    """A rule: when `applies` the difference is explained by `reason`."""

    name: str
    reason: str
    source: str
    applies: Callable[[Found], bool]


DEVIATIONS: tuple[Deviation, ...] = (
    Deviation(
        "group-id-forgotten",
        "the recorded machine clears the path-group id on disband and resign; it is kept until a reset",
        "eckd-commands section 8 #19: SA22-1025",
        rules.group_id_forgotten,
    ),
    Deviation(
        "track-writes-refused",
        "the recorded machine does not know the track-set operations 10, 11, 13 and 23",
        "eckd-commands 3.10: SA22-1025, Linux DASD driver",
        rules.track_writes_refused,
    ),
    Deviation(
        "short-output-unnoticed",
        "the recorded machine shows incorrect length for reads only",
        "eckd-commands section 8 #8: SA22-7201",
        rules.short_output_unnoticed,
    ),
    Deviation(
        "path-state-missing",
        "the recorded machine shows a reservation, but neither state nor mode of the path",
        "eckd-commands 3.13 and vector 31: SA22-1025, Linux path-group code",
        rules.path_state_missing,
    ),
    Deviation(
        "prefix-residual",
        "the recorded machine takes 28 bytes of a Prefix without locate; all 64 are its parameters",
        "eckd-commands 3.11, residual: defined by this project",
        rules.prefix_residual,
    ),
    Deviation(
        "characteristics-not-marked",
        "the recorded machine does not show that Set System Characteristics was received",
        "eckd-commands 2.11: SA22-1025",
        rules.characteristics_not_marked,
    ),
    Deviation(
        "home-address-flag-not-stored",
        "the recorded machine accepts Write Home Address but does not keep its flag byte",
        "eckd-commands 2.2, 3.7.3; older-ckd-devices 2.3: GA26-1661; the README of the recordings",
        rules.flag_not_stored,
    ),
    Deviation(
        "imprecise-ending-missing",
        "the recorded machine shows file protected alone where a domain leaves the extent",
        "eckd-commands 3.3 rule 5, 4.4: SA22-1025",
        rules.imprecise_ending,
    ),
    Deviation(
        "message-of-another-format",
        "the recorded machine reports a missing seek with message 22, which is of another format",
        "eckd-commands 3.2, section 8 #1: defined by this project",
        rules.never_positioned,
    ),
    Deviation(
        "home-address-file-protected",
        "the recorded machine reports a Write Home Address that the mask forbids as file protected",
        "eckd-commands 3.7.1, section 8 #5: GA32-0099",
        rules.write_home_address_masked,
    ),
    Deviation(
        "incomplete-domain-form",
        "the recorded machine reports every incomplete domain, in the 24-byte form",
        "eckd-commands 3.9.4, section 8 #3: SA22-1025",
        rules.domain_left,
    ),
    Deviation(
        "sector-always-zero",
        "the recorded machine has no rotation: Read Sector sends 00",
        "eckd-commands 2.9: the Linux DASD driver; sum over mixed records defined by this project",
        rules.sector_zero,
    ),
    Deviation(
        "incorrect-length-beside-check",
        "the recorded machine's channel shows incorrect length beside unit check and unit exception of output, too",
        "eckd-commands 1.8, where the length counts when the device ends normally: GA22-7000; observed, Hercules 3.13",
        rules.incorrect_length_beside_check,
    ),
    Deviation(
        "parameters-of-refused",
        "the recorded machine counts the data of a refused command as taken or not, as it happens to refuse it",
        "eckd-commands section 6, its head and vectors 10-12: defined by this project; observed, Hercules 3.13",
        rules.parameters_of_refused,
    ),
    Deviation(
        "unknown-out-of-sequence",
        "the recorded machine refuses some commands of later control units as out of sequence",
        "eckd-commands 3.1, step 2 before step 3; older-ckd-devices 2: defined by this project",
        rules.unknown_out_of_sequence,
    ),
    Deviation(
        "special-home-address-unknown",
        "the recorded machine knows no Read Special Home Address where it is refused",
        "eckd-commands 3.2: GA32-0099; observed, Hercules 3.13",
        rules.special_home_address_unknown,
    ),
    Deviation(
        "earlier-node-descriptors",
        "the recorded machine is of a release whose configuration data have another form",
        "eckd-commands 2.12; observed, Hercules 3.13",
        rules.earlier_descriptors,
    ),
    Deviation(
        "facilities-of-another-release",
        "the recorded machine announces the facilities that its release has for the control unit",
        "eckd-commands 2.11, bytes 6-9; observed, Hercules 3.13",
        rules.other_facilities,
    ),
    Deviation(
        "sense-id-without-words",
        "the recorded machine sends no command information words for the control unit",
        "eckd-commands 2.10; observed, Hercules 3.13",
        rules.plain_sense_id,
    ),
    Deviation(
        "subsystem-without-statistics",
        "the recorded machine keeps no statistics, and its subsystem has another number of devices",
        "eckd-commands 2.13: SA22-1025, System Management Facilities record 74; observed, Hercules 3.13",
        rules.status_of_another_subsystem,
    ),
    Deviation(
        "count-area-missing",
        "the recorded machine says no more than no record found of a track without a count area",
        "older-ckd-devices 3.3: defined by this project",
        rules.no_count_area,
    ),
    Deviation(
        "overflow-flag-shown",
        "the recorded machine lets Read Multiple CKD show how it stores that a segment follows",
        "older-ckd-devices 4.1: defined by this project",
        rules.overflow_flag_shown,
    ),
    Deviation(
        "operation-code-missing",
        "the recorded machine does not tell in six sense bytes how a record in segments is to be resumed",
        "older-ckd-devices 3.1 and 4.3: IBM System/360 FE handbook; its place inferred there",
        rules.operation_code_missing,
    ),
    Deviation(
        "segment-missing",
        "the recorded machine says no more than no record found where no segment continues a record",
        "older-ckd-devices 4.2 step 2: defined by this project",
        rules.segment_missing,
    ),
    Deviation(
        "immediate-length-shown",
        "the recorded machine shows incorrect length for commands that are immediate, No-Operation alone excepted",
        "eckd-commands 1.8: SA22-7201; observed, Hercules 3.13",
        rules.immediate_length_shown,
    ),
    Deviation(
        "hole-before-segment",
        "the recorded machine leaves bytes free in storage before the second segment of a record",
        "older-ckd-devices 4.2: defined by this project",
        rules.hole_before_segment,
    ),
    Deviation(
        "output-residual-zero",
        "the recorded machine's channel shows residual 0 for output that the device did not take whole",
        "eckd-commands 1.8: GA22-7000; the README of the recordings",
        rules.output_residual_zero,
    ),
)


def repeats(found: Found, earlier: Found | None) -> bool:
    """Is it the data of a Sense program that shows what `earlier`, a difference in sense on the device, showed?"""
    if earlier is None or found.code != CommandCode.SENSE or found.field != "data":
        return False
    return _begins(earlier.expected, found.expected) and (earlier.got is None or _begins(earlier.got, found.got))


def _begins(sense: object, data: object) -> bool:
    return isinstance(sense, bytes) and isinstance(data, bytes) and bool(data) and sense.startswith(data)


def explain(found: Found) -> Deviation | None:
    """Return the first rule that explains the difference."""
    return next((deviation for deviation in DEVIATIONS if deviation.applies(found)), None)
