"""Coverage-guided: records of frames at the decoders and at a live link with its subsystem."""

from __future__ import annotations

import sys


def main() -> None:
    import atheris

    with atheris.instrument_imports(include=["ccw", "controller.channel", "controller.commands"]):
        from ccw.records import RawFrame, RecordReader
        from tests.fuzz.box import Box
        from tests.fuzz.decoders import find_decoders
        from tests.fuzz.engine import judge
        from tests.fuzz.link_fuzz import OUTPUT_MAX, right_answers
        from tests.fuzz.mutation import mend_frame
        from tests.fuzz.seeds import records_stream, worked_frames
    from tests.fuzz.coverage_guided import fuzz

    decoders = [decoder for name, decoder in find_decoders().items()
                if name.startswith(("frames.", "link_control_fields.", "records.", "delimited."))]
    box = Box()
    elp = RawFrame(mend_frame(bytes.fromhex("600040014100000000") + b"\0\0"), True, True)

    def one(data: bytes) -> None:
        """Byte 0 chooses the decoder; what follows is also a stream of records to a link, its CRCs put right."""
        if not data:
            return
        fault, _ = judge(decoders[data[0] % len(decoders)], data[1:])
        assert fault is None, fault
        link = box.new_link()
        link.receive(elp, box.time)
        link.take()
        try:
            records = RecordReader().feed(data[1:])
        except ValueError:
            return
        for record in records:
            right = None
            if isinstance(record, RawFrame):
                record = record._replace(payload=mend_frame(record.payload))
                right = right_answers(record, link) if link.paths else None
            link.receive(record, box.time)
            output = link.take()
            assert len(output) <= OUTPUT_MAX
            reasons = [item.information[0] for item in output if getattr(item, "link_control", 0) == 0x11]
            assert right is None or (reasons[0] if reasons else None) in right

    fuzz("frames", [b"\0" + records_stream(), *(b"\1" + data[7:-5] for data in worked_frames())], one)


if __name__ == "__main__":
    sys.exit(main())
