"""What the results say in words. Every number in a sentence comes from the results."""

from __future__ import annotations

from tools.simulation.arms import ARMS, BEST, BRIDGE, CAPPED, FULL, MIRRORED, NAIVE, SIMPLEX
from tools.simulation.hosts import PATTERN_BY_KEY, ZIPF
from tools.simulation.results import KNEE, Results, Row
from tools.simulation.statistics import rounded

FLAT = 0.05  # as flat as is claimed


def reading(results: Results) -> list[str]:
    """The paragraphs, each about one figure or table."""
    return [
        _claim(results), _flat(results), _against(results), _parts(results), _skew(results), _price(results),
        _distance(results), _assumptions(results),
    ]  # fmt: skip


def _claim(results: Results) -> str:
    most, simplex = results.most, results.row(SIMPLEX, 0).mean
    few = results.row(NAIVE, 1) if 1 in results.pairs else results.row(NAIVE, results.pairs[0])
    naive, best, full = (results.row(arm, most) for arm in (NAIVE, BEST, FULL))
    ended = f"only {naive.served:.0%} of the I/Os ended in the time of a run" if naive.saturated else "all I/Os ended"
    return _line(f"""
        Without remote copy an I/O takes {simplex} ms. With the design the
        patent describes as known, establishing {few.pairs} pair{"s" * (few.pairs > 1)} costs little ({few.mean}
        ms), establishing {most} stops the hosts ({ended}; the figure of {rounded(naive.mean.mean)} ms is a lower
        bound). With bridge, snapshot and queue it is {full.mean} ms at {most} pairs; with best practice {best.mean}
        ms. So the gain over a design that nobody need build is without bound, and over best practice it is a factor
        of {results.gain()} on the mean and {rounded(best.write_mean.mean / full.write_mean.mean)} on writes.
    """)


def _flat(results: Results) -> str:
    last = results.flatness()[-1]
    few, most = results.row(FULL, results.few), results.row(FULL, last.pairs)
    held = abs(last.without_mirroring - 1) <= FLAT
    alone = results.row(MIRRORED, last.pairs).parts["mirrored"]
    return _line(f"""
        Is it flat? From {results.few} to {last.pairs} pairs the mean goes from {few.mean} to {most.mean} ms, a
        ratio of {last.as_it_is:.3f}, because more pairs mean more writes that must be mirrored, in every arm.
        Without the time that mirrored writes wait for the secondary the ratio is {last.without_mirroring:.3f}: the
        claim of {FLAT:.0%} {'holds' if held else 'does not hold'}. But not all of that time is the price of
        mirroring alone: with nothing being copied mirrored writes cost {rounded(alone)} ms of the mean, beside the
        copy {rounded(most.parts['mirrored'])} ms, for a write waits until the track that is on its link has passed.
        Counted that way the ratio is {last.without_mirroring_alone:.3f}. The wait is at most one track's time, and
        does not grow with the number of pairs; only the number of writes that meet it does.
    """)


def _against(results: Results) -> str:
    knees = ", ".join(f"{arm.title}: {results.knee(arm) or 'none'}" for arm in ARMS if arm.mirrors)
    capped, best = results.row(CAPPED, results.most), results.row(BEST, results.most)
    return _line(f"""
        The knee, the largest number of pairs within {KNEE} times simplex: {knees}. Limiting the number of volumes
        at a time alone, as an operator could, does not do it: {capped.mean} ms against {best.mean} ms at
        {results.most} pairs.
    """)


def _parts(results: Results) -> str:
    shares = [share for share in results.ablation() if share.pattern == "uniform"]
    points = list(dict.fromkeys(share.pairs for share in shares))
    sentences = []
    for pairs in points:
        here = sorted((one for one in shares if one.pairs == pairs), key=lambda one: -one.removed_share)
        listed = ", ".join(f"{one.part} {one.added_share:.0%} / {one.removed_share:.0%}" for one in here)
        sentences.append(f"at {pairs} pairs {listed}")
    return _line(f"""
        Which part gains what (share of the difference between best practice and the invention: what the part gains
        alone / what is lost without it), all volumes alike: {"; ".join(sentences)}. The shares do not add up: a
        kept path and decoupled status both save time on the link, and a part alone may move the queue elsewhere.
    """)


def _skew(results: Results) -> str:
    if ZIPF not in results.experiment.plan.patterns:
        return "Other access patterns were not run."
    sentences = []
    for pattern in results.experiment.plan.patterns:
        for pairs in results.experiment.within(results.experiment.plan.pattern_pairs):
            best, full = (results.row(arm, pairs, pattern) for arm in (BEST, FULL))
            bound = "at least " if best.saturated else ""
            sentences.append(
                f"{PATTERN_BY_KEY[pattern.key].key}, {pairs}: {bound}{rounded(best.mean.mean)} against "
                f"{rounded(full.mean.mean)} ms"
            )
    numbers = results.experiment.within(results.experiment.plan.pattern_pairs)
    bridge, full = (results.row(arm, numbers[len(numbers) // 2], ZIPF) for arm in (BRIDGE, FULL))
    return _line(f"""
        Other hosts, best practice against the invention: {"; ".join(sentences)}. Where the hottest volumes are the
        ones being established the snapshot shows what it is for: without it and the queue
        {rounded(bridge.mean.mean)} ms, with them {rounded(full.mean.mean)} ms at {full.pairs} pairs.
    """)


def _price(results: Results) -> str:
    found = results.exposures(results.most)
    best, full, capped = found[BEST.key], found[FULL.key], found[CAPPED.key]
    prices = "; ".join(
        f"{_named(row)} {rounded(row.copied_per_s.mean)} tracks/s, {row.mean} ms" for row in results.price()
    )
    rate = results.row(FULL, results.most).copied_per_s.mean
    other = results.row(BEST, results.most).copied_per_s.mean
    return _line(f"""
        The price. A queue leaves the last volume with nothing at the secondary for {rounded(full.last_begins_h)}
        hours, where conventional copying has something of every volume from the start, but no volume whole before
        the end: all {results.most} pairs are duplex after {rounded(full.all_duplex_h)} hours (best practice
        {rounded(best.all_duplex_h)}), half of them after {rounded(full.half_duplex_h)} (best practice
        {rounded(best.half_duplex_h)}). Counted in volumes without a usable copy the queue is worth
        {rounded(best.volume_hours)} against {rounded(full.volume_hours)} volume hours; an operator's cap of eight
        has it too ({rounded(capped.volume_hours)}). Counted in bytes the exposure is {rounded(best.terabyte_hours)}
        against {rounded(full.terabyte_hours)} TB·h, the ratio of the copy rates ({rounded(other)} and
        {rounded(rate)} tracks/s). With less than is assumed of the bridge (links of its
        own for status, as FIG. 5D draws it; tracks that wait for the handshakes of ordinary commands): {prices}.
    """)


def _distance(results: Results) -> str:
    gains = results.gain_map()
    low, high = min(gains, key=lambda one: one[2].mean), max(gains, key=lambda one: one[2].mean)
    return _line(f"""
        Distance and handshakes at {results.most} pairs: the gain goes from {low[2]} ({low[0]:g} km, {low[1]}
        handshake{"s" * (low[1] > 1)}) to {high[2]} ({high[0]:g} km, {high[1]}).
    """)


def _assumptions(results: Results) -> str:
    swings = results.tornado()
    widest = "; ".join(f"{one.name}: {rounded(one.low.mean)} to {rounded(one.high.mean)}" for one in swings[:5])
    lowest = min(min(one.low.mean, one.high.mean) for one in swings)
    return _line(f"""
        What is assumed, halved and doubled one by one at {results.most} pairs: the widest are {widest} (gain; it is
        {results.middle()} in the middle, over the same seeds). The lowest gain of all {len(swings)} is
        {rounded(lowest)}.
    """)


def _named(row: Row) -> str:
    """The parameters of a point, short."""
    return ", ".join(f"{name.partition('.')[2]} {value:g}" for name, value in row.values) + ":"


def _line(text: str) -> str:
    """A paragraph as one line."""
    return " ".join(text.split())
