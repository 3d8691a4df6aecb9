"""What a replay showed, and how it is told: as text, as one JSON object, as a page of HTML that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from typing import Any

from ccw.ccws import MULTITRACK, CommandCode
from controller.models.meter import Meter
from tools.deviations import DEVIATIONS
from tools.follower import Difference, Followed

LISTED_MAX = 50
PARTS = ("mean_ms", "pend_ms", "disconnect_ms", "connect_ms", "p50_ms", "p95_ms", "p99_ms")
_NAMES = {int(code): code.name.replace("_", " ").lower() for code in CommandCode}
_REASONS = {deviation.name: deviation for deviation in DEVIATIONS}


def command_name(code: int) -> str:
    """The name of a command in words; multitrack reads and searches say so."""
    if code in _NAMES:
        return _NAMES[code]
    name = _NAMES.get(code & ~MULTITRACK)
    return f"{name}, multitrack" if name else "unknown"


@dataclass(slots=True)
class ReplayReport:
    """What a replay showed. `differences` and `tracks_different` are the unexplained ones.

    `meter`: the models' view, where the replay had one. `unknown`: what the recording did not show, so that it could
    not be compared, in sentences.
    """

    name: str = ""
    followed: Followed = field(default_factory=Followed)
    tracks_compared: int = 0
    tracks_different: list[tuple[int, int]] = field(default_factory=list)
    tracks_explained: list[tuple[int, int]] = field(default_factory=list)
    seconds: float = 0.0
    meter: Meter | None = None
    unknown: list[str] = field(default_factory=list)

    @property
    def differs(self) -> bool:
        """True when anything is left that no rule explains."""
        return bool(self.followed.differences or self.tracks_different)

    @property
    def rate(self) -> float:
        """Commands per second of the replay proper, without loading, comparing tracks and the models."""
        return self.followed.commands / self.seconds if self.seconds else 0.0

    def rules(self) -> list[dict[str, Any]]:
        """The deviation rules that explained something: name, how often, reason, source."""
        counts: dict[str, int] = {}
        for difference in self.followed.explained:
            counts[str(difference.explained_by)] = counts.get(str(difference.explained_by), 0) + 1
        return [
            {"rule": name, "count": count, "reason": _REASONS[name].reason, "source": _REASONS[name].source}
            for name, count in sorted(counts.items(), key=lambda item: -item[1])
        ]

    def commands(self) -> list[dict[str, Any]]:
        """The commands that were sent, by code: name, how often, and the models' response time for one."""
        by_command = self.meter.by_command if self.meter is not None else None
        rows = []
        for code, count in sorted(self.followed.codes.items()):
            row: dict[str, Any] = {"code": f"{code:02X}", "name": command_name(code), "count": count}
            if by_command and code in by_command:
                row["response"] = by_command[code].figures()
            rows.append(row)
        return rows

    def responses(self) -> list[dict[str, Any]]:
        """The models' response times of whole chains, and the cache's counts, by device."""
        if self.meter is None:
            return []
        return [
            {
                "device": f"{volume:04X}",
                **statistics.figures(),
                "cache": {name: count for name, count in self.meter.counters(volume).counts().items() if count},
            }
            for volume, statistics in self.meter.by_volume.items()
            if statistics.count
        ]

    def figures(self) -> dict[str, Any]:
        """Return the report as one JSON-ready object."""
        followed = self.followed
        return {
            "recording": self.name,
            "programs": followed.programs,
            "programs_differing": followed.programs_differing,
            "commands": followed.commands,
            "differences": len(followed.differences),
            "explained": len(followed.explained),
            "tracks_compared": self.tracks_compared,
            "tracks_different": len(self.tracks_different),
            "tracks_explained": len(self.tracks_explained),
            "seconds": round(self.seconds, 3),
            "commands_per_second": round(self.rate),
            "not_compared": self.unknown,
            "commands_by_code": self.commands(),
            "response_times": self.responses(),
            "rules": self.rules(),
            "difference_list": [asdict(difference) for difference in followed.differences],
            "explained_list": [asdict(difference) for difference in followed.explained],
            "different_track_list": [f"{device:04X}:{track}" for device, track in self.tracks_different],
        }


# Text


def as_text(report: ReplayReport) -> str:
    """Return the report for people: differences with their chain, what rules explain, commands, response times."""
    followed = report.followed
    lines: list[str] = []
    for difference in followed.differences[:LISTED_MAX]:
        lines.append(f"difference: {difference}")
        if difference.chain:
            lines.append(f"    chain: {difference.chain}")
    lines += _left_over(len(followed.differences))
    for rule in report.rules():
        times = "once" if rule["count"] == 1 else f"{rule['count']:,} times"
        lines.append(f"explained {times} by {rule['rule']}: {rule['reason']} ({rule['source']})")
    lines += [f"track {track} of {device:04X} differs" for device, track in report.tracks_different[:LISTED_MAX]]
    lines += _left_over(len(report.tracks_different))
    lines += [f"not compared: {what}" for what in report.unknown]
    lines += _command_lines(report)
    lines += _response_lines(report)
    lines.append(
        f"{followed.programs:,} programs, {followed.commands:,} commands: {len(followed.differences):,} differences, "
        f"{len(followed.explained):,} explained"
    )
    lines.append(
        f"{report.tracks_compared:,} tracks compared, {len(report.tracks_different):,} different, "
        f"{len(report.tracks_explained):,} explained"
    )
    lines.append(f"{report.seconds:.2f} s, {report.rate:,.0f} commands/s")
    return "\n".join(lines)


def _command_lines(report: ReplayReport) -> list[str]:
    counts = sorted(report.followed.codes.items(), key=lambda item: -item[1])
    return [f"{count:>9,} {code:02X} {command_name(code)}" for code, count in counts]


def _response_lines(report: ReplayReport) -> list[str]:
    lines: list[str] = []
    for row in report.responses():
        if not lines:
            lines.append("predicted, ms   chains     mean     pend  disconn  connect      p50      p95      p99")
        numbers = " ".join(f"{row[part]:>8.3f}" for part in PARTS)
        lines.append(f"device {row['device']}  {row['count']:>8,} {numbers}")
    return lines


def _left_over(count: int) -> list[str]:
    return [f"… and {count - LISTED_MAX:,} more"] if count > LISTED_MAX else []


# HTML

_STYLE = """body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:.5rem 0 1.5rem}
th,td{padding:.2rem .7rem;border-bottom:1px solid #ccc;text-align:left}
td.n{text-align:right;font-variant-numeric:tabular-nums}code{font-size:.9em;overflow-wrap:anywhere}
.bad{color:#a40000;font-weight:600}.good{color:#006b2d;font-weight:600}.bar{display:inline-block;height:.7em}
@media(prefers-color-scheme:dark){body{background:#1b1b1b;color:#ddd}th,td{border-color:#444}.bad{color:#ff8a80}
.good{color:#8fd19e}}"""
_COLOURS = (("pend_ms", "#0072b2"), ("disconnect_ms", "#e69f00"), ("connect_ms", "#009e73"))
_BAR_EM = 18.0


def as_html(report: ReplayReport) -> str:
    """Return the report as a page: no script, nothing loaded from anywhere."""
    followed = report.followed
    verdict = '<p class="bad">Differs.</p>' if report.differs else '<p class="good">Nothing unexplained differs.</p>'
    title = f"Replay of {escape(report.name)}"
    facts: list[tuple[str, object]] = [
        ("programs", f"{followed.programs:,}"),
        ("commands", f"{followed.commands:,}"),
        ("differences", f"{len(followed.differences):,}"),
        ("explained by rule", f"{len(followed.explained):,}"),
        ("tracks compared", f"{report.tracks_compared:,}"),
        ("tracks different", f"{len(report.tracks_different):,}"),
        ("tracks explained", f"{len(report.tracks_explained):,}"),
        ("seconds", f"{report.seconds:.2f}"),
        ("commands per second", f"{report.rate:,.0f}"),
    ]
    sections = [
        _section("Summary", ("", ""), facts),
        _section("Not compared", ("what",), [(what,) for what in report.unknown]),
        _section(
            "Differences",
            ("program", "command", "field", "at byte", "expected", "got", "chain"),
            [_difference_row(item) for item in followed.differences[: LISTED_MAX * 4]],
        ),
        _section("Tracks that differ", ("device", "track"), [(f"{d:04X}", t) for d, t in report.tracks_different]),
        _section(
            "Explained by rule",
            ("rule", "times", "reason", "source"),
            [(rule["rule"], rule["count"], rule["reason"], rule["source"]) for rule in report.rules()],
        ),
        _response_section(report),
        _section(
            "Commands",
            ("code", "name", "count", "predicted ms"),
            [
                (row["code"], row["name"], row["count"], row.get("response", {}).get("mean_ms", ""))
                for row in report.commands()
            ],
        ),
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n'
        f"<body><h1>{title}</h1>\n{verdict}\n" + "\n".join(filter(None, sections)) + "\n</body></html>\n"
    )


def _difference_row(item: Difference) -> tuple[object, ...]:
    offset = "" if item.offset is None else item.offset
    return item.program, f"{item.index} ({item.code:02X})", item.field, offset, item.expected, item.got, item.chain


def _section(title: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A headed table; nothing when there are no rows."""
    body = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>\n" for row in rows)
    if not body:
        return ""
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    return f"<h2>{escape(title)}</h2>\n<table><tr>{head}</tr>\n{body}</table>"


def _cell(value: object) -> str:
    if isinstance(value, int | float):
        return f'<td class="n">{value:,}</td>'
    return f"<td>{escape(str(value))}</td>"


def _response_section(report: ReplayReport) -> str:
    """Predicted response times by device, with a bar for the split of the mean."""
    rows = report.responses()
    if not rows:
        return ""
    longest = max(row["mean_ms"] for row in rows) or 1
    lines = []
    for row in rows:
        bars = "".join(
            f'<span class="bar" style="width:{row[part] / longest * _BAR_EM:.2f}em;background:{colour}" '
            f'title="{part[:-3]} {row[part]} ms"></span>'
            for part, colour in _COLOURS
        )
        cells = _cell(row["device"]) + _cell(row["count"]) + "".join(_cell(row[part]) for part in PARTS)
        lines.append(f"<tr>{cells}<td>{bars}</td></tr>\n")
    heads = ("device", "chains", *(part[:-3] for part in PARTS), "pend, disconnect, connect")
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    return f"<h2>Predicted response times, ms</h2>\n<table><tr>{head}</tr>\n{''.join(lines)}</table>"
