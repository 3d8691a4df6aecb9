"""Cases that this controller is known to fail, and why: functions of remote copy that are not built yet.

A test holds the list to be exact: a case that begins to pass must leave it.
"""

FAILOVER = "failover and failback are not built"
FROM_THE_SECONDARY = "a pair cannot be suspended from its secondary"
UPDATE_CHAINS = "Remote Write Prefix (DA): there are no updates without a bridge"

KNOWN_GAPS = {
    "PAR-15": FROM_THE_SECONDARY,
    "PAR-50": FAILOVER,
    "PEE-31": UPDATE_CHAINS,
    "PEE-32": UPDATE_CHAINS,
    "PEE-33": UPDATE_CHAINS,
    "PEE-34": UPDATE_CHAINS,
    "BRD-14": FAILOVER,
}
