"""Coverage-guided: parameter lists at a device, compared with the judge, and PPRC orders at their decoders."""

from __future__ import annotations

import sys


def main() -> None:
    import atheris

    with atheris.instrument_imports(include=["ccw", "controller.commands"]):
        from tests.fuzz.decoders import find_decoders
        from tests.fuzz.engine import judge
        from tests.fuzz.parameter_fuzz import KINDS, PPRC, ParameterFuzz, answer_of
        from tests.fuzz.seeds import order_examples, recorded_parameters
    from tests.fuzz.coverage_guided import fuzz

    decoders = [decoder for name, decoder in find_decoders().items()
                if name.startswith(("eckd.", "pprc", "subsystem_orders.", "device_control.", "path_group."))]
    device = ParameterFuzz(1)

    def one(data: bytes) -> None:
        """Byte 0 chooses the command, byte 1 the decoder, the rest is the list."""
        if len(data) < 2:
            return
        fault, _ = judge(decoders[data[1] % len(decoders)], data[2:])
        assert fault is None, fault
        kind = KINDS[data[0] % len(KINDS)]
        if kind.code == 0x27 and len(data) > 2 and data[2] in PPRC:
            return
        outcome, right = device.send(kind, data[2:])
        device.bench.device.end_chain("A")
        assert answer_of(outcome) in right, f"command {kind.code:02X}: {answer_of(outcome)}, right {sorted(right)}"

    recorded = recorded_parameters()
    lists = [bytes((number, 0)) + data for number, kind in enumerate(KINDS) for data in recorded.get(kind.code, ())[:8]]
    fuzz("parameters", [*lists, *(b"\4\0" + data for data in order_examples())], one)


if __name__ == "__main__":
    sys.exit(main())
