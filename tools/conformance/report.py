"""Results as a table for people, as JSON, and as JUnit XML for build servers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from rich.console import Console
from rich.table import Table

from tools.conformance.case import Chapter
from tools.conformance.runner import CaseResult


def figures(results: Sequence[CaseResult]) -> dict[str, int]:
    """How many cases there were, and how they ended."""
    skipped = sum(bool(result.skipped) for result in results)
    failed = sum(bool(result.problems) for result in results)
    return {"cases": len(results), "passed": len(results) - skipped - failed, "failed": failed, "skipped": skipped}


def as_json(target: str, results: Sequence[CaseResult]) -> dict[str, Any]:
    """One object for machines."""
    return {
        "target": target,
        **figures(results),
        "results": [
            {
                "id": result.case.id,
                "chapter": result.case.chapter,
                "title": result.case.title,
                "clause": result.case.clause,
                "result": "skipped" if result.skipped else "failed" if result.problems else "passed",
                "problems": list(result.problems),
                "why": result.skipped,
                "seconds": round(result.seconds, 4),
            }
            for result in results
        ],
    }


def show(console: Console, chapters: Sequence[Chapter], results: Sequence[CaseResult]) -> None:
    """Every case that did not pass, then a row for each chapter and the sum."""
    for result in results:
        if result.problems:
            case = result.case
            console.print(f"{case.id} {case.title} ({case.clause})", style="bold red", markup=False, highlight=False)
            for problem in result.problems:
                console.print(f"    {problem}", markup=False, highlight=False, soft_wrap=True)
    table = Table("chapter", *(("cases", "passed", "failed", "skipped")), box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for chapter in chapters:
        of_chapter = [result for result in results if result.case.chapter == chapter.name]
        if of_chapter:
            table.add_row(chapter.title, *map(str, figures(of_chapter).values()))
    table.add_section()
    table.add_row("all", *map(str, figures(results).values()), style="bold")
    console.print(table)


def show_list(console: Console, chapters: Sequence[Chapter]) -> None:
    """The cases by chapter: identifier, title, clause."""
    for chapter in chapters:
        console.print(chapter.title, style="bold", markup=False, highlight=False)
        for case in chapter.cases:
            line = f"  {case.id:8} {case.title}  [{case.clause}]"
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def write_junit(path: Path, target: str, results: Sequence[CaseResult]) -> None:
    """JUnit XML: a test suite for the run, a class for each chapter. Raises OSError."""
    counts = figures(results)
    suite = ElementTree.Element(
        "testsuite",
        name=f"trackbridge conform {target}",
        tests=str(counts["cases"]),
        failures=str(counts["failed"]),
        skipped=str(counts["skipped"]),
        time=f"{sum(result.seconds for result in results):.3f}",
    )
    for result in results:
        case = result.case
        element = ElementTree.SubElement(
            suite, "testcase", classname=case.chapter, name=f"{case.id} {case.title}", time=f"{result.seconds:.4f}"
        )
        if result.skipped:
            ElementTree.SubElement(element, "skipped", message=result.skipped)
        if result.problems:
            failure = ElementTree.SubElement(element, "failure", message=result.problems[0])
            failure.text = "\n".join((f"Source: {case.clause}", *result.problems))
    ElementTree.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)
