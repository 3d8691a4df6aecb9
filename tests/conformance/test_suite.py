"""The conformance suite itself: every case passes, over memory and over TCP; every seeded defect is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
import trio
from click.testing import CliRunner

from tests.conformance.defects import DEFECTS, Defect, installed
from tests.conformance.gaps import KNOWN_GAPS
from tools.conform import conform
from tools.conformance.bench import Target, open_bench
from tools.conformance.case import CaseError, load_chapters
from tools.conformance.fixtures import FIXTURES
from tools.conformance.requirements import configuration
from tools.conformance.runner import CaseResult, run_cases
from tools.conformance.target import in_process_target, tcp_target
from tools.demo_sites import start_site

CASES_MIN, DEFECTS_MIN = 450, 30
CASE = 'title = "x"\norder = 1\n[[case]]\nid = "AA-01"\ntitle = "t"\nclause = "c"\n'


async def results_of(target: Target, pattern: str = "") -> list[CaseResult]:
    async with open_bench(target) as bench:
        for name in FIXTURES:
            bench.touched(name)
        return [result async for result in run_cases(bench, load_chapters(), pattern)]


def in_process(pattern: str = "", profile: str = "2107") -> list[CaseResult]:
    async def run() -> list[CaseResult]:
        async with in_process_target(profile) as target:
            return await results_of(target, pattern)

    return trio.run(run)


def failed(results: list[CaseResult]) -> dict[str, tuple[str, ...]]:
    """The failed cases that are not known gaps."""
    return {r.case.id: r.problems for r in results if r.problems and r.case.id not in KNOWN_GAPS}


def test_every_case_passes_in_process() -> None:
    results = in_process()
    assert failed(results) == {}
    assert {result.case.id for result in results if result.problems} == set(KNOWN_GAPS), "a gap was closed, or is none"
    assert len(results) >= CASES_MIN
    assert {result.skipped for result in results if result.skipped} and all(
        "the target is a 2107" in result.skipped for result in results if result.skipped
    )


@pytest.mark.parametrize("profile", ["3990-3", "3990-6", "2105"])
def test_what_depends_on_the_control_unit(profile: str) -> None:
    assert failed(in_process("^(DES|PFX|LRE-0|POS-4|DX-1|SUB-[3-6])", profile)) == {}


def test_every_case_passes_over_tcp(tmp_path: Path) -> None:
    """Two `serve` processes, real sockets; nothing but the wire leads to them."""
    config_b = tmp_path / "B.toml"
    config_b.write_text(configuration("B", peers=""), encoding="utf-8")
    with start_site(tmp_path, config_b) as site_b:
        text = configuration("A", peers="127.0.0.1")
        for index, said in enumerate((0x20, 0x21, 0x22, 0x23)):
            text = text.replace(f"127.0.0.1:{4101 + index}", site_b.listening[said])
        config_a = tmp_path / "A.toml"
        config_a.write_text(text, encoding="utf-8")
        with start_site(tmp_path, config_a) as site_a:

            async def run() -> list[CaseResult]:
                async with tcp_target(site_a.host_address, site_b.host_address, {}) as target:
                    return await results_of(target)

            results = trio.run(run)
    assert failed(results) == {}
    assert len(results) >= CASES_MIN


@pytest.mark.parametrize("defect", DEFECTS, ids=[defect.name.replace(" ", "-") for defect in DEFECTS])
def test_a_seeded_defect_is_found(defect: Defect, record_property: Callable[[str, object], None]) -> None:
    with installed(defect):
        caught = failed(in_process(defect.cases))
    record_property("caught by", " ".join(caught))
    print(f"{defect.name}: {' '.join(caught)}")
    assert caught


def test_there_are_enough_defects_and_their_cases_pass_without_them() -> None:
    """That they pass is shown by `test_every_case_passes_in_process`; here: each pattern means some cases."""
    identifiers = [case.id for chapter in load_chapters() for case in chapter.cases]
    assert len(DEFECTS) >= DEFECTS_MIN
    assert len({defect.name for defect in DEFECTS}) == len(DEFECTS)
    assert set(KNOWN_GAPS) <= set(identifiers)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("order = 1", "title: a text is needed"),
        ('title = "x"\norder = 1\n[[case]]\nid = "A-1"', "case A-1: id 'A-1' is not PREFIX-NN"),
        (CASE, "either run or steps"),
        (CASE + 'run = "sook 1,2"', "no such command: 'sook'"),
        (CASE + 'run = "nop"\nend = "0G"', "'0G' is neither a status"),
        (CASE + 'run = "nop"\nfoo = 1', "foo: no such key"),
        (CASE.replace('"c"', '""') + 'run = "nop"', "clause: a text is needed"),
        (CASE + 'run = "psf {nobody}"', "{nobody}: no such variable"),
        ("title = 1 2", "Expected newline"),
    ],
)  # fmt: skip
def test_a_wrong_chapter_is_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "wrong.toml").write_text(text, encoding="utf-8")
    with pytest.raises(CaseError) as caught:
        load_chapters(tmp_path)
    assert complaint in str(caught.value)
    assert str(caught.value).startswith("wrong.toml: ")
    assert "\n" not in str(caught.value)


def test_an_identifier_is_used_once(tmp_path: Path) -> None:
    case = '[[case]]\nid = "AA-01"\ntitle = "t"\nclause = "c"\nrun = "nop"\n'
    (tmp_path / "a.toml").write_text(f'title = "x"\norder = 1\n{case}{case}', encoding="utf-8")
    with pytest.raises(CaseError, match="AA-01 is also in a"):
        load_chapters(tmp_path)


# The command


def test_json_junit_and_exit_status(tmp_path: Path) -> None:
    """One case fails: a defect is installed that lets every pair id pass."""
    junit = tmp_path / "junit.xml"
    arguments = ["in-process", "--only", "^(POS-0[1-3]|PAR-(20|50))", "--json", "--junit", str(junit)]
    with installed(next(defect for defect in DEFECTS if defect.cases == "^PAR-20")):
        ended = CliRunner().invoke(conform, arguments)
    assert ended.exit_code == 1, ended.output
    report = json.loads(ended.stdout)
    assert (report["cases"], report["passed"], report["failed"]) == (5, 4, 1)
    failures = {row["id"]: row["problems"] for row in report["results"] if row["result"] == "failed"}
    assert set(failures) == {"PAR-20"}
    suite = ElementTree.parse(junit).getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("5", "1")
    assert len(suite.findall("testcase/failure")) == 1


def test_only_passing_cases_end_with_status_0() -> None:
    ended = CliRunner().invoke(conform, ["in-process", "--only", "^POS-01"])
    assert ended.exit_code == 0, ended.output
    assert "Positioning" in ended.stdout


def test_the_list_names_every_case() -> None:
    ended = CliRunner().invoke(conform, ["--list", "--json"])
    rows = json.loads(ended.stdout)
    assert len(rows) >= CASES_MIN
    assert all(row["clause"] for row in rows)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "TARGET: in-process or tcp://HOST:PORT"),
        (["udp://x:1"], "'udp://x:1' is not tcp://host:port"),
        (["tcp://127.0.0.1:1"], "target: "),
        (["in-process", "--only", "("], "is not a regular expression"),
        (["in-process", "--only", "^LT-43"], "--only: no case has '^LT-43' in its id, chapter or title"),
        (["--list", "--only", "^LT-43"], "--only: no case has '^LT-43' in its id, chapter or title"),
        (["in-process", "--second", "tcp://h:1"], "--second and --device are for targets over TCP"),
        (["tcp://127.0.0.1:1", "--device", "scratch=GG"], "is not NAME=HH"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], complaint: str) -> None:
    ended = CliRunner().invoke(conform, arguments)
    assert ended.exit_code == 2
    assert complaint in ended.stderr
    assert "Traceback" not in ended.output


def test_a_target_that_lacks_devices(tmp_path: Path) -> None:
    config = tmp_path / "A.toml"
    lines = configuration("A", peers="127.0.0.1").replace('address = "E1"', 'address = "77"')
    config.write_text(lines.split("\n[[port]]\nsaid = \"0010\"")[0], encoding="utf-8")
    with start_site(tmp_path, config) as site:
        ended = CliRunner().invoke(conform, [f"tcp://{site.host_address[0]}:{site.host_address[1]}"])
    assert ended.exit_code == 2
    assert "device E1 (spare): a 3390 of 3 cylinders is needed" in ended.stderr
