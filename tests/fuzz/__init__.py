"""Hostile input: any bytes, at every decoder, in every parameter list and in every state of a link.

    decoders.py    what is fuzzed at codec level, found by walking the modules of `ccw`
    seeds.py       valid bytes to start from: vectors, worked examples, the recorded channel programs
    mutation.py    how bytes are changed: seeded, aware of fields, checksums and lengths
    engine.py      runs cases, judges them, and says how to run a failing one again
    judge.py       which sense a parameter list deserves, written after the specification alone
    box.py         a subsystem behind a link, without a network
    link_fuzz.py   frames at a live link
    replay.py      runs one case again, or a long campaign: python -m tests.fuzz.replay --help
    atheris_*.py   coverage-guided, for `make soak`; corpus/ holds what they found worth keeping
"""
