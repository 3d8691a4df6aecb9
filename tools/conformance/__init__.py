"""The conformance suite: numbered cases that are data, run through the host emulator against a storage system.

chapters/*.toml  the cases: what to send, what must come back, and the clause that says so
case.py          a case and its schema; every mistake in a chapter is one line with file and case
expectation.py   what an ending, sense bytes and a track must look like
frame_text.py    frames as words, for the link-level cases
bench.py         the hosts of one run: sessions and raw links to the systems under test
runner.py        runs cases and reports what differed
requirements.py  what the suite needs of a target, as a configuration; the check that the target has it
target.py        how a target is reached: over TCP, or two systems in this process
report.py        table, JSON, JUnit XML

The cases see the target through `host_emulator` only; `target.py` alone knows that a controller can live in the same
process.
"""
