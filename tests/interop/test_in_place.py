"""Physical volumes in running systems: a recording replayed onto an image file, and pairs with virtual volumes."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import trio

from ccw.plain_images import split_image_file
from ccw.tracks import track_digest
from controller import app
from controller.array import VirtualArrayStore
from controller.array.in_place import ImageFile, InPlaceVolume
from controller.config import load_config
from controller.links.destager import Destager
from controller.links.system import StorageSystem
from host_emulator.session import open_session
from tests.helpers import operator
from tests.helpers.copying import duplex, equal, format_track
from tests.helpers.operator import order, set_up_bridge
from tests.helpers.physical import make_image
from tests.helpers.two_systems import Site, rig, until
from tools.recording import load_recording
from tools.replayer import Replayer
from traces import recording_folder

NAME = "linux-rawtrack-2107"
CONFIG = """
name = "A"
serial = "{serial}"
ssid = "{ssid:04X}"
lss = "{lss:02X}"
profile = "{profile}"
link_protocol = "parallel"
store = "store"

[[volume]]
address = "{address:02X}"
cylinders = {cylinders}
image_in_place = "v.ckd"

[[port]]
said = "0001"
kind = "host"
listen = "127.0.0.1:0"
"""


async def test_a_recording_on_a_physical_volume_leaves_its_file_as_recorded(tmp_path: Path) -> None:  # V6
    recording = load_recording(recording_folder(NAME))
    (device,) = recording.devices.values()
    path = tmp_path / "v.ckd"
    assert device.initial is not None
    path.write_bytes(gzip.decompress(device.initial.read_bytes()))
    before = path.read_bytes()
    config = tmp_path / "a.toml"
    text = CONFIG.format(
        serial=device.serial,
        ssid=device.ssid,
        lss=device.ssid >> 8,
        profile=device.control_unit,
        address=device.unit_address,
        cylinders=device.cylinders,
    )
    config.write_text(text)
    settings = load_config(config)
    assert app.check(settings)
    async with trio.open_nursery() as nursery:
        system: StorageSystem = await nursery.start(app.serve, settings)
        address = system.adapters.by_said[1].address
        assert address is not None
        replayer = Replayer(recording)
        async with open_session(address[0], address[1], 0) as session:
            report = await replayer.run_over(session, None, None)
            report = await replayer.compare_over(session, None)
        assert not report.differs
        nursery.cancel_scope.cancel()
    assert path.read_bytes() != before
    _, tracks = split_image_file(path.read_bytes())
    found = {track: track_digest(image) for track, image in tracks}
    expected = recording.final_hashes(device)
    assert {track: found[track] for track in expected} == expected
    with app.open_store(settings) as store:
        assert store.allocated(device.unit_address) > 0


def physical(site: Site, volume: int, path: Path) -> InPlaceVolume:
    """Make a volume of a running site physical, before any host has used it."""
    store: VirtualArrayStore = site.running.store
    geometry = site.settings.volumes[volume].geometry
    found = InPlaceVolume.attach(store, volume, ImageFile(make_image(path, {}, geometry), geometry))
    site.links.start_soon(Destager([found], site.running.committer, site.running.log, site.run_blocking).run)
    return found


@pytest.mark.parametrize("sides", ["A", "B", "AB"])
async def test_pairs_of_physical_and_virtual_volumes(autojump_clock: object, tmp_path: Path, sides: str) -> None:
    """Copied while hosts write, mirrored when duplex; what lies in the files is what hosts see."""
    async with rig() as r, r.host(r.a) as io, r.host(r.a) as to_a, r.host(r.b) as to_b:
        volumes = [
            (site, physical(site, 0, tmp_path / f"{site.name}.ckd")) for site in (r.a, r.b) if site.name in sides
        ]
        for track in range(30):
            await format_track(io, 0, track, f"before {track}")
        await set_up_bridge(to_a, to_b)
        assert (await order(to_a, 0, operator.establish_pair(0))).completed
        turn = 0
        while not duplex(r, 0):
            for track in (0, 15, 29):
                await format_track(io, 0, track, f"turn {turn}")
            turn += 1
        assert turn > 0
        for track in range(5, 25):
            await format_track(io, 0, track, f"duplex {track}")
        assert equal(r, 0)
        await until(lambda: not any(found.pending() for _, found in volumes))
        assert equal(r, 0)
        for site, found in volumes:
            geometry = found.file.geometry
            size = geometry.track_size
            data = found.file.path.read_bytes()
            for track in range(30):
                image = site.running.store.read(0, track)
                assert image is not None
                assert data[512 + track * size :][:size] == image.ljust(size, b"\0")
