"""Cases that this controller is known to fail, and why: functions of remote copy that are not built yet.

A test holds the list to be exact: a case that begins to pass must leave it.
"""

FROM_THE_SECONDARY = "a pair cannot be suspended from its secondary"

KNOWN_GAPS = {
    "PAR-15": FROM_THE_SECONDARY,
}
