"""How the cases of one run are spread: 1,000,000 in all, counted by the tests and summed by test_counts.py.

Slow decoders get fewer cases, quick ones more; every decoder gets at least `FEWEST`.
"""

from __future__ import annotations

TOTAL = 1_000_000
SEED = 20_010_907
LINK_CASES = 30_000         # frames at live links, both ends
PARAMETER_CASES = 90_000    # parameter lists at a device, compared with the judge
ORDER_CASES = 30_000        # PPRC orders at a subsystem, compared with the judge
PROGRAM_CASES = 4_000       # whole chains over a live link, their sense compared with the judge
DIRECTED_CASES = 3_000      # the same through a director
PEER_CASES = 5_000          # orders of a peer over a live link, compared with the judge and a model of the volumes
CODEC_CASES = TOTAL - LINK_CASES - PARAMETER_CASES - ORDER_CASES - PROGRAM_CASES - DIRECTED_CASES - PEER_CASES
FEWEST = 600
# Decoders that take a tenth of a millisecond and more: numpy over one frame, construct, whole files.
SLOW = frozenset({
    "batch.scan_records",
    "batch.decode_frames",
    "batch.decode_devices",
    "frames_spec.specified_decode_device",
    "frames_spec.specified_decode_frame",
    "link_control.decode_path_bitmap",
    "pcapng.PcapngReader",
    "records.RecordReader",
    "streamed.StreamedReader",
    "sequences.SequenceDetector",
    "subsystem_data.UnitAddressConfiguration.decode",
    "fc_sb3_fields.view_unit",
})


def codec_cases(names: list[str]) -> dict[str, int]:
    """Cases of each decoder; they add up to CODEC_CASES."""
    quick = sorted(name for name in names if name not in SLOW)
    shares = {name: 2 * FEWEST for name in names if name in SLOW}
    left = CODEC_CASES - sum(shares.values())
    for index, name in enumerate(quick):
        shares[name] = left // len(quick) + (1 if index < left % len(quick) else 0)
    assert min(shares.values()) >= FEWEST
    return shares
