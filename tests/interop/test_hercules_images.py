"""Images made by the Hercules utilities are read right, and those utilities accept what we make.

The opinion that ours is compared with is dasdcopy's: it copies an image, shadow files included, to a plain one, whose
slots are read by code that knows nothing of ours. Skipped where the Debian package hercules is not installed.
"""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from ccw.geometry import MODELS, geometry_for, geometry_of
from ccw.volume_label import initial_tracks
from controller.array import MemoryDisk, VirtualArrayStore
from controller.array.images import ExportForm, ImageError, export_volume, import_image, open_image, shadow_files
from controller.array.volumes import create_volume, volume_of
from tests.helpers.configurations import free_port
from tests.helpers.image_files import END, null_image, read_plain, some_images, track_image
from tests.helpers.patience import PATIENCE_S
from tests.helpers.utilities import utility

UTILITIES = ("dasdinit", "dasdload", "dasdls", "dasdcat", "dasdcopy", "cckdcdsk", "hercules")
MISSING = [name for name in UTILITIES if shutil.which(name) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)} not installed (Debian package hercules)")

FORMS_OF_3_13 = [form for form in ExportForm if form is not ExportForm.COMPRESSED_64]
SIZES = [("3390", 20), ("3380", 20), ("3350", 10), ("3330", 15), ("3340", 20), ("3375", 20), ("2314", 10), ("2311", 20)]


def new_store() -> VirtualArrayStore:
    return VirtualArrayStore.open(MemoryDisk())


def contents(store: VirtualArrayStore, volume: int) -> list[bytes]:
    geometry = volume_of(store, volume).geometry
    found = []
    for track in range(geometry.tracks):
        home = struct.pack(">HH", *divmod(track, geometry.heads))
        found.append(store.read(volume, track) or b"\0" + home + home + b"\0\0\0\x08" + bytes(8) + END)
    return found


def copied(image: Path, slot: int, *shadow: str) -> list[bytes]:
    """Every track of an image as dasdcopy reads it."""
    out = image.with_name("copied.ckd")
    utility("dasdcopy", "-q", "-o", "CKD", image, *shadow, out, makes=out)
    try:
        return read_plain(out, slot)
    finally:
        out.unlink()


def check_accepted(image: Path, form: ExportForm) -> None:
    """The checker of compressed images finds nothing at its strictest level."""
    if form is not ExportForm.PLAIN:
        assert utility("cckdcdsk", "-3", "-ro", image).strip() == ""


@pytest.mark.parametrize(
    ("device", "cylinders", "option"),
    [(device, cylinders, "-z") for device, cylinders in SIZES]
    + [("3390", 20, "-bz2"), ("3380", 20, "-bz2"), ("3350", 10, "-bz2"), ("3390", 20, "-0"), ("3350", 10, "")],
)
def test_images_of_dasdinit(tmp_path: Path, device: str, cylinders: int, option: str) -> None:
    image = tmp_path / "volume.dasd"
    utility("dasdinit", *([option] if option else []), image, device, "TST001", cylinders, makes=image)
    geometry = geometry_for(device, cylinders)
    with new_store() as store:
        import_image(store, 1, image)
        found = contents(store, 1)
        assert found == copied(image, geometry.track_size) and len(found) == geometry.tracks
        for form in FORMS_OF_3_13 if (device, option) == ("3390", "-z") else (ExportForm.COMPRESSED_ZLIB,):
            out = tmp_path / "out.dasd"
            export_volume(store, 1, out, form, replace=True)
            check_accepted(out, form)
            assert copied(out, geometry.track_size) == found


@pytest.mark.parametrize("form", FORMS_OF_3_13, ids=lambda form: form.value)
@pytest.mark.parametrize("device", ["3390", "3380", "3350"])
def test_our_images_are_read_track_for_track(tmp_path: Path, device: str, form: ExportForm) -> None:
    geometry = geometry_for(device, 10)
    images = some_images(device, (0, 1, 2, 50, geometry.tracks - 1), seed=11)
    images[3] = null_image(device, 3, 0)
    with new_store() as store:
        create_volume(store, 1, geometry, images)
        store.sync()
        image = tmp_path / "volume.dasd"
        export_volume(store, 1, image, form)
        check_accepted(image, form)
        assert copied(image, geometry.track_size) == contents(store, 1)


@pytest.mark.parametrize("name", [model.name for models in MODELS.values() for model in models])
def test_an_initialised_volume_of_every_model_has_a_label_and_a_vtoc(tmp_path: Path, name: str) -> None:
    geometry = geometry_of(name)
    if name in ("3390-A", "3390-54", "3390-27", "3390-9") or geometry.tracks > 65_535:
        geometry = geometry_for(name[:4], 3339)
    image = tmp_path / "volume.dasd"
    with new_store() as store:
        create_volume(store, 1, geometry, initial_tracks(geometry, "TST001", owner="SOMEBODY"))
        store.sync()
        export_volume(store, 1, image, ExportForm.COMPRESSED_ZLIB)
    check_accepted(image, ExportForm.COMPRESSED_ZLIB)
    said = utility("dasdls", image)
    assert "VOLSER=TST001" in said and "not found" not in said


CONTROL = "DASD02 {device} 20\nSYS1.PARM EMPTY CYL 2 1 4 PO FB 80 800\nSYS1.DATA EMPTY CYL 1 1 0 PS FB 80 800\n"


@pytest.mark.parametrize("option", ["-z", "-bz2"], ids=["zlib", "bzip2"])
@pytest.mark.parametrize("device", ["3390", "3380", "3350"])
def test_volumes_of_dasdload_with_a_member_written_by_us(tmp_path: Path, device: str, option: str) -> None:
    (tmp_path / "control").write_text(CONTROL.format(device=device))
    image = tmp_path / "volume.dasd"
    utility("dasdload", option, "control", image, folder=tmp_path, makes=image)
    listed = utility("dasdls", "-info", image)
    assert "SYS1.PARM" in listed and "SYS1.DATA" in listed
    with new_store() as store:
        import_image(store, 1, image)
        first = geometry_of(open_geometry(image)).heads  # SYS1.PARM begins at cylinder 1
        cards = "".join(f"card {number}".ljust(80) for number in range(10))
        write_member(store, first, device, cards.encode("cp037"))
        for form in (ExportForm.COMPRESSED_ZLIB, ExportForm.COMPRESSED_BZIP2, ExportForm.COMPRESSED_NONE):
            out = tmp_path / "out.dasd"
            export_volume(store, 1, out, form, replace=True)
            check_accepted(out, form)
            assert utility("dasdls", "-info", out).replace("out.dasd", "volume.dasd") == listed
            listing = subprocess.run(["dasdcat", "-i", out, "SYS1.PARM/HELLO:ca"], capture_output=True, text=True)
            assert listing.stdout.split("\n")[:10] == [f"card {number}" for number in range(10)]


def open_geometry(image: Path) -> str:
    with open_image(image) as source:
        return source.geometry.name


def write_member(store: VirtualArrayStore, track: int, device: str, data: bytes) -> None:
    """Put member HELLO into an empty partitioned data set that begins at `track`."""
    image = store.read(1, track)
    assert image is not None
    entry = "HELLO".ljust(8).encode("cp037") + b"\0\1\1\0"
    block = (2 + len(entry) + 8).to_bytes(2) + entry + b"\xff" * 8
    at = image.index(b"\xff" * 8, 5 + 16) + 8  # behind the key of the first directory block
    store.write(1, track, image[:at] + block + image[at + len(block) :])
    store.write(1, track + 1, track_image(device, track + 1, [data, b""]))
    store.sync()


# --- shadow files made by a real Hercules -----------------------------------------------------------------------------


def end_in_order(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM until it is gone. Observed: 3.13 now and then overhears the first one."""
    try:
        for _ in range(60):
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(3)
                return
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


@contextmanager
def hercules(folder: Path, commands: str) -> Iterator[int]:
    """A Hercules with device 0123 on base.cckd and its shadow files, ended in order; the port of its shared server."""
    port = free_port()
    (folder / "hercules.cnf").write_text(
        "CPUSERIAL 000001\nCPUMODEL 4381\nMAINSIZE 2\nNUMCPU 1\nARCHMODE S/370\n"
        f"CNSLPORT {free_port()}\nSHRDPORT {port}\n0123 3390 base.cckd sf=shadow_1.sh\n"
    )
    (folder / "hercules.rc").write_text(commands)
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            ["hercules", "-d", "-f", "hercules.cnf"],
            cwd=folder,
            env={**os.environ, "HERCULES_RC": "hercules.rc"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            yield port
        finally:
            end_in_order(process)


class SharedClient:
    """A client of the shared-device protocol: writes whole tracks into the volume of a Hercules."""

    def __init__(self, port: int) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                self._socket = socket.create_connection(("127.0.0.1", port))
                break
            except ConnectionRefusedError:
                assert time.monotonic() < deadline, "Hercules does not listen"
                time.sleep(0.05)
        self._id = 0
        self._id = struct.unpack(">H", self.ask(0xE0, b"", 1))[0]

    def ask(self, command: int, data: bytes = b"", flag: int = 0) -> bytes:
        self._socket.sendall(struct.pack(">BBHHH", command, flag, 0x123, len(data), self._id) + data)
        code, _, _, length, _ = struct.unpack(">BBHHH", self._exactly(8))
        answer = self._exactly(length)
        assert code in (0x00, 0x08), answer
        return answer

    def _exactly(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            piece = self._socket.recv(length - len(data))
            assert piece, "Hercules hung up"
            data += piece
        return data

    def write(self, images: dict[int, bytes]) -> None:
        self.ask(0xE2)
        for track, image in images.items():
            self.ask(0xE8, struct.pack(">I", track))
            self.ask(0xE9, struct.pack(">HI", 5, track) + image[5:])
        self.ask(0xE3)

    def close(self) -> None:
        self.ask(0xE1)
        self._socket.close()


def test_shadow_files_of_a_real_hercules(tmp_path: Path) -> None:
    utility("dasdinit", "-z", tmp_path / "base.cckd", "3390", "TST001", 20)
    first = some_images("3390", (3, 7, 280), seed=12)
    second = some_images("3390", (7, 8, 299), seed=13)
    for number, images in enumerate((first, second), 1):
        with hercules(tmp_path, "sf+0123\n") as port:
            client = SharedClient(port)
            shadow = tmp_path / f"shadow_{number}.sh"
            wait_until(lambda shadow=shadow: size_of(shadow) >= 1024)
            client.write(images)
            client.close()
    shadows = shadow_files(tmp_path / "shadow_1.sh")
    assert [shadow.name for shadow in shadows] == ["shadow_1.sh", "shadow_2.sh"]
    with new_store() as store:
        import_image(store, 1, tmp_path / "base.cckd", shadows=shadows)
        found = contents(store, 1)
        assert found == copied(tmp_path / "base.cckd", 56832, f"sf={tmp_path}/shadow_1.sh")
        assert all(found[track] == image for track, image in {**first, **second}.items())
        import_image(store, 2, tmp_path / "base.cckd", shadows=shadows[:1])
        assert all(contents(store, 2)[track] == image for track, image in first.items())


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "Hercules does not do what is waited for"
        time.sleep(0.05)


def test_an_image_that_a_hercules_has_open_is_refused_and_ours_runs_in_one(tmp_path: Path) -> None:
    with new_store() as store:
        geometry = geometry_for("3390", 20)
        create_volume(store, 1, geometry, initial_tracks(geometry, "TST001"))
        store.sync()
        export_volume(store, 1, tmp_path / "base.cckd", ExportForm.COMPRESSED_ZLIB)
        images = some_images("3390", (3, 100, 299), seed=14)
        with hercules(tmp_path, "") as port:
            client = SharedClient(port)
            client.write(images)
            wait_until(lambda: bool((tmp_path / "base.cckd").read_bytes()[515] & 0x80))  # its writer is lazy
            with pytest.raises(ImageError, match="byte 515: compressed header: open for writing in another program"):
                import_image(store, 2, tmp_path / "base.cckd")
            client.close()
        import_image(store, 2, tmp_path / "base.cckd")
        assert contents(store, 2) == [images.get(track, image) for track, image in enumerate(contents(store, 1))]
