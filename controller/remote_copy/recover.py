"""Recover Pair (D5): a secondary becomes simplex, so that hosts can go on here when the primary is lost.

It needs no contact with the other box. The primary, if it lives, hears of it from its next record (code 07). Hosts may
use the volume as soon as the order has ended: that the volume is simplex is durable by then.
Source: pprc-commands 2.4, 2.9, 4.8.
"""

from ccw import pprc
from ccw.stored_track import StoredTrack, compress_track
from ccw.tracks import Record, build_image
from controller.remote_copy.checks import check_boxes, primary_box
from controller.remote_copy.core import Core
from controller.remote_copy.label import LABEL_RECORD, LABEL_TRACK, SERIAL, labelled_track
from controller.remote_copy.procedure import Procedure
from controller.remote_copy.refusal import reject
from controller.remote_copy.states import PairState, Reason


def recover_pair(core: Core, order: pprc.RecoverPair, volume: int) -> Procedure[None]:
    """D5 from a host to the secondary. Ends when it is durable that the volume is simplex. Raises Refused."""
    check_boxes(order.header, core.own, own_is_primary=False)
    if order.header.secondary_cca != volume:
        raise reject(Reason.NOT_THE_ONE_NAMED)
    pair = core.secondaries.get(volume)
    if pair is None:
        raise reject(Reason.NOT_A_SECONDARY)
    if primary_box(order.header).volume(order.header.primary_cca) != pair.primary:
        raise reject(Reason.NOT_THE_ONE_NAMED, pair_id=pair.pair_id)
    label = _new_label(core, order, volume)
    pair.state = PairState.SIMPLEX
    core.store(pair)
    core.records.store_ended(pair)
    del core.secondaries[volume]
    if label is not None:
        core.around.array.write_stored(volume, LABEL_TRACK, label)
    core.around.log(
        None,
        "recovered: the secondary is simplex" if pair.consistent else "recovered, but its copy was never complete",
        {"pair": pair.pair_id, "volume": f"{volume:02X}"},
    )
    yield from core.hardened()


def _new_label(core: Core, order: pprc.RecoverPair, volume: int) -> StoredTrack | None:
    """Check the volume serial, where that is wanted; the label track with the new one, or None. Raises Refused."""
    if not order.options & (pprc.RecoverOption.CHECK_OLD_SERIAL | pprc.RecoverOption.WRITE_NEW_SERIAL):
        return None
    found = labelled_track(core.around.array, volume)
    if found is None:
        raise reject(Reason.VOLUME_SERIAL)
    image, records = found
    label = records[LABEL_RECORD]
    if order.options & pprc.RecoverOption.CHECK_OLD_SERIAL and label.data[SERIAL] != order.old_volume_serial:
        raise reject(Reason.VOLUME_SERIAL)
    if not order.options & pprc.RecoverOption.WRITE_NEW_SERIAL:
        return None
    data = label.data[: SERIAL.start] + order.new_volume_serial + label.data[SERIAL.stop :]
    records[LABEL_RECORD] = Record(label.count, label.key, data)
    return compress_track(build_image(image[:5], records))
