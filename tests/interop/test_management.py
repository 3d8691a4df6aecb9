"""Management of a running system: over HTTP, and by the command line with --system."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from ccw.plain_images import split_image_file
from ccw.tracks import null_track
from controller.links.management import VERBS
from host_emulator.shared_client import SharedClient, SharedError
from tests.helpers.image_files import SLOTS, null_image, plain, some_images
from tests.helpers.patience import PATIENCE_S
from tests.helpers.served import Served, serve
from tests.helpers.shared import RECORD_AT, image_with, record_one

DEVICE, OTHER = 0x0123, 0x0201


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    store = tmp_path_factory.mktemp("managed") / "store"
    for device, volser in ((DEVICE, "ONE"), (OTHER, "TWO")):
        trackbridge("volume", "create", f"{device:04X}", "--model", "3390-1", "--volser", volser, "--store", str(store))
    with serve(store) as running:
        yield running


def trackbridge(*arguments: str, status: int = 0, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tools", *arguments], capture_output=True, text=True, env={"PATH": "", **environment}
    )
    assert done.returncode == status, done.stderr
    return done.stderr if status else done.stdout


def ask(served: Served, method: str, path: str, body: Any = None, token: str | None = None) -> httpx.Response:
    token = served.token_file.read_text().strip() if token is None else token
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    content = body if isinstance(body, bytes) else None
    return httpx.request(
        method, served.url + path, json=None if content else body, content=content, headers=headers, trust_env=False,
        timeout=PATIENCE_S,
    )  # fmt: skip


def write(served: Served, track: int, data: bytes) -> None:
    with SharedClient(served.address, DEVICE) as client, client.program():
        client.write(track, RECORD_AT, record_one(track, data))


def read(served: Served, device: int, track: int) -> bytes:
    with SharedClient(served.address, device) as client, client.program():
        return client.read(track)


def test_a_volume_is_snapped_cloned_and_restored_while_it_is_in_use(served: Served) -> None:
    write(served, 30, b"before")
    with SharedClient(served.address, DEVICE) as attached:
        with attached.program():
            pass
        assert ask(served, "POST", "/v1/volumes/0123/snapshots", {"name": "s1"}).status_code == 201
        write(served, 30, b"after")
        cloned = ask(served, "POST", "/v1/volumes/0123/snapshots/s1/clone", {"target": "0300", "read_only": True})
        assert (cloned.status_code, cloned.json()["device"], cloned.json()["read_only"]) == (201, "0300", True)
        assert read(served, 0x0300, 30) == image_with(30, b"before")
        assert read(served, DEVICE, 30) == image_with(30, b"after")
        restored = ask(served, "POST", "/v1/volumes/0123/snapshots/s1/restore")
        assert restored.status_code == 200
        assert attached.start() is None  # whatever it has in its cache is to be forgotten
        assert attached.read(30) == image_with(30, b"before")
        attached.end()
    volume = ask(served, "GET", "/v1/volumes/0123").json()
    assert (volume["device"], volume["model"], volume["snapshots"], volume["clients"]) == ("0123", "3390-1", 1, 0)
    assert ask(served, "DELETE", "/v1/volumes/0123/snapshots/s1").status_code == 200
    assert read(served, 0x0300, 30) == image_with(30, b"before")


def test_a_device_goes_offline_and_comes_back(served: Served) -> None:
    write(served, 31, b"kept")
    options = ("--system", served.url, "--token-file", str(served.token_file))
    assert trackbridge("volume", "offline", "0123", *options) == "volume 123: offline\n"
    assert ask(served, "GET", "/v1/volumes/0123").json()["online"] is False
    with pytest.raises(SharedError, match="offline"):
        read(served, DEVICE, 31)
    with SharedClient(served.address, DEVICE) as client:
        client.start()
        with pytest.raises(SharedError, match="offline"):
            client.write(31, RECORD_AT, record_one(31, b"lost"))
    online = json.loads(trackbridge("volume", "online", "0123", *options, "--json"))
    assert (online["device"], online["online"]) == ("0123", True)
    assert read(served, DEVICE, 31) == image_with(31, b"kept")
    assert "--system is needed" in trackbridge("volume", "online", "0123", status=2)


def test_a_restore_waits_for_the_channel_program(served: Served) -> None:
    assert ask(served, "POST", "/v1/volumes/0201/snapshots", {"name": "empty"}).status_code == 201
    with SharedClient(served.address, OTHER) as client:
        client.start()
        client.write(40, RECORD_AT, record_one(40, b"x"))
        process = subprocess.Popen(
            [sys.executable, "-m", "tools", "snap", "restore", "0201", "empty", "--system", served.url,
             "--token-file", str(served.token_file), "--json"],
            stdout=subprocess.PIPE,
        )  # fmt: skip
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1.5)
        client.end()
        out, _ = process.communicate(timeout=PATIENCE_S)
        assert json.loads(out) == {"device": "201", "name": "empty"} and process.returncode == 0
    assert read(served, OTHER, 40) == null_track(2, 10)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "text"),
    [
        ("GET", "/v1/volumes/zz", None, 400, "device: 'zz' is not 1 to 4 hexadecimal digits"),
        ("GET", "/v1/volumes/0999", None, 404, "volume 0999 is not defined"),
        ("GET", "/v1/nothing", None, 404, "Not Found"),
        ("POST", "/v1/volumes/0123/snapshots", None, 400, "the body is not JSON"),
        ("POST", "/v1/volumes/0123/snapshots", b"[" * 60_000, 400, "the body is not JSON"),
        ("POST", "/v1/volumes/0123/snapshots", b"x" * 70_000, 413, "more than 65536 bytes"),
        ("POST", "/v1/volumes/0123/snapshots", [1], 400, "not a JSON object"),
        ("POST", "/v1/volumes/0123/snapshots", {}, 400, "name: is needed"),
        ("POST", "/v1/volumes/0123/snapshots", {"name": 1}, 400, "name: a string is needed"),
        ("POST", "/v1/volumes/0123/snapshots", {"name": "x", "y": 1}, 400, "y: no such field"),
        ("POST", "/v1/volumes/0123/snapshots", {"name": "a/b"}, 409, "cannot name a snapshot"),
        ("DELETE", "/v1/volumes/0123/snapshots/none", None, 404, "has no snapshot 'none'"),
        ("POST", "/v1/volumes/0123/snapshots/none/restore", None, 404, "has no snapshot 'none'"),
        ("POST", "/v1/practice", {"name": "d", "copies": "0123:0300"}, 409, "not the secondary of a pair"),
        ("POST", "/v1/practice", {"name": "d", "copies": "0123"}, 400, "'0123' is not one secondary"),
        ("POST", "/v1/practice", {"name": "d", "copies": "0999:0300"}, 404, "0999"),
        ("POST", "/v1/volumes/0123/snapshots/none/clone", {"target": "0201"}, 404, "has no snapshot 'none'"),
        ("PUT", "/v1/volumes/0123", None, 405, "Method Not Allowed"),
    ],
    ids=str,
)
def test_what_is_wrong_is_one_text(
    served: Served, method: str, path: str, body: Any, status: int, text: str
) -> None:
    answer = ask(served, method, path, body)
    assert answer.status_code == status
    assert text in answer.json()["error"]


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb.changes], ids=lambda verb: verb.name)
@pytest.mark.parametrize("token", ["", "wrong"])
def test_a_change_needs_the_token(served: Served, verb: Any, token: str) -> None:
    path = verb.path.replace("{device}", "0123").replace("{name}", "x")
    answer = ask(served, verb.method, path, {"name": "x"}, token)
    assert answer.status_code == 401 and "token" in answer.json()["error"]
    assert ask(served, "GET", "/v1/snapshots", None, token).status_code == 200


def test_every_route_is_documented(served: Served) -> None:
    document = ask(served, "GET", "/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    found = {(method.upper(), path) for path, entry in document["paths"].items() for method in entry}
    assert found == {(verb.method, verb.path) for verb in VERBS}


def test_answers_are_documented_as_they_come(served: Served) -> None:
    paths = ask(served, "GET", "/openapi.json").json()["paths"]
    assert ask(served, "POST", "/v1/volumes/0123/snapshots", {"name": "typed"}).status_code == 201
    for route in ("/v1/volumes/{device}", "/v1/volumes/{device}/snapshots/{name}/image"):
        answer = ask(served, "GET", route.format(device="0123", name="typed"))
        assert list(paths[route]["get"]["responses"]["200"]["content"]) == [answer.headers["content-type"]]
    long = ask(served, "POST", "/v1/volumes", b"{" + b" " * 70_000)
    assert str(long.status_code) in paths["/v1/volumes"]["post"]["responses"]


def test_figures_for_prometheus(served: Served) -> None:
    text = ask(served, "GET", "/metrics").text
    assert "trackbridge_array_fenced 0.0" in text
    assert 'trackbridge_shared_clients{device="0123"}' in text


def test_the_command_line_over_a_running_system(served: Served) -> None:
    where = ("--system", served.url, "--token-file", str(served.token_file))
    trackbridge("snap", "create", "0123", "cli", *where)
    listed = json.loads(trackbridge("snap", "list", "--system", served.url, "--json"))["snapshots"]
    assert ("123", "cli") in {(row["device"], row["name"]) for row in listed}
    assert "0123" in trackbridge("volume", "list", "--system", served.url)
    assert json.loads(trackbridge("pair", "list", "--system", served.url, "--json")) == {"pairs": []}
    trackbridge("snap", "clone", "0123", "cli", "0310", *where)
    trackbridge("snap", "delete", "0123", "cli", *where)
    assert "token" in trackbridge("snap", "create", "0123", "cli", "--system", served.url, status=2)
    assert "Connection refused" in trackbridge("snap", "list", "--system", "http://127.0.0.1:1", status=2)
    assert "--system goes without" in trackbridge("snap", "list", *where, "--store", "x", status=2)
    assert "a running system" in trackbridge("snap", "list", "--store", str(served.token_file.parent), status=2)


def test_a_volume_is_made_and_its_snapshot_exported_while_the_system_runs(served: Served, tmp_path: Path) -> None:
    where = ("--system", served.url, "--token-file", str(served.token_file))
    made = json.loads(trackbridge(
        "volume", "create", "0400", "--model", "3390", "--cylinders", "3", "--volser", "NEWVOL", *where, "--json"
    ))  # fmt: skip
    assert (made["device"], made["cylinders"]) == ("0400", 3)
    assert "NEWVOL".encode("cp037") in read(served, 0x0400, 0)
    assert "exists already" in trackbridge(
        "volume", "create", "0400", "--model", "3390-1", "--volser", "X", *where, status=2
    )
    with SharedClient(served.address, 0x0400) as client, client.program():
        client.write(20, RECORD_AT, record_one(20, b"exported"))
    trackbridge("snap", "create", "0400", "out", *where)
    with SharedClient(served.address, 0x0400) as client, client.program():
        client.write(20, RECORD_AT, record_one(20, b"too late"))
    image = tmp_path / "out.ckd"
    trackbridge("volume", "export", "0400", str(image), "--snapshot", "out", *where)
    header, tracks = split_image_file(image.read_bytes())
    assert (header.heads, header.device_type) == (15, 0x90)
    assert dict(tracks)[20] == image_with(20, b"exported")
    assert "exists" in trackbridge("volume", "export", "0400", str(image), "--snapshot", "out", *where, status=2)
    assert "has no snapshot" in trackbridge(
        "volume", "export", "0400", str(tmp_path / "x"), "--snapshot", "none", *where, status=2
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.ckd"]
    checked = ask(served, "POST", "/v1/check").json()
    assert checked["damaged"] == [] and checked["records"] > 0


def test_an_export_that_meets_damage_leaves_no_file_and_is_logged(tmp_path: Path) -> None:
    store, image, out = tmp_path / "store", tmp_path / "in.ckd", tmp_path / "out.ckd"
    image.write_bytes(plain("3390", [noise(track) for track in range(60)]))
    with serve(store, "--import", f"0123={image}") as served:
        assert ask(served, "POST", "/v1/volumes/0123/snapshots", {"name": "s"}).status_code == 201
        segment = store / "segment-00000001"
        with segment.open("r+b") as file:
            at = segment.read_bytes().index(noise(45)[1000:2000])
            file.seek(at)
            file.write(bytes(8))
        where = ("--system", served.url)
        said = trackbridge("volume", "export", "0123", str(out), "--snapshot", "s", *where, status=2)
        assert said.count("\n") == 1 and "bytes came; the system's event log may say why" in said
        assert not list(tmp_path.glob("out*"))
    events = [json.loads(line) for line in (store / "events.jsonl").read_text().splitlines()]
    told = [event for event in events if event["text"] == "an image was cut off"]
    assert [(event["device"], event["snapshot"]) for event in told] == [("0123", "s")]
    assert told[0]["why"].startswith("segment 1, offset ")


def noise(track: int) -> bytes:
    """A track whose bytes are stored as they are, for they cannot be compressed."""
    return image_with(track, Random(track).randbytes(40_000))


def small_image(path: Path, *, cylinders: int = 4) -> bytes:
    """A plain 3390 image of a few written tracks; its bytes."""
    written = some_images("3390", (0, 7, 31, 59), seed=5)
    data = plain("3390", [written.get(track) or null_image("3390", track, 1) for track in range(cylinders * 15)])
    path.write_bytes(data)
    return data


def test_a_volume_is_imported_into_a_running_system_used_and_deleted(served: Served, tmp_path: Path) -> None:
    where = ("--system", served.url, "--token-file", str(served.token_file))
    image, compressed, back = tmp_path / "in.ckd", tmp_path / "in.cckd", tmp_path / "back.ckd"
    data = small_image(image)
    other = ("--store", str(tmp_path / "other"))
    trackbridge("volume", "import", "0500", str(image), *other)
    trackbridge("volume", "export", "0500", str(compressed), "--format", "cckd", *other)
    made = json.loads(trackbridge("volume", "import", "0500", str(compressed), *where, "--json"))
    assert (made["cylinders"], made["tracks"], made["written"]) == (4, 60, 4)
    trackbridge("snap", "create", "0500", "as-imported", *where)
    trackbridge("volume", "export", "0500", str(back), "--snapshot", "as-imported", *where)
    assert back.read_bytes() == data
    assert "exists already" in trackbridge("volume", "import", "0500", str(image), *where, status=2)

    with SharedClient(served.address, 0x0500) as attached:
        refused = trackbridge("volume", "delete", "0500", *where, status=2)
        assert "cannot be deleted: attached by 1 client of shared devices" in refused
        with attached.program():
            attached.write(20, RECORD_AT, record_one(20, b"still writable"))
    trackbridge("volume", "delete", "0500", *where)
    with pytest.raises(SharedError, match="device not found"):
        SharedClient(served.address, 0x0500)
    assert ask(served, "GET", "/v1/volumes/0500").status_code == 404
    assert "not defined" in trackbridge("volume", "delete", "0500", *where, status=2)
    trackbridge("volume", "create", "0500", "--model", "3380", "--cylinders", "2", "--volser", "AGAIN", *where)
    assert read(served, 0x0500, 20) == null_track(1, 5)
    assert ask(served, "POST", "/v1/check").json()["damaged"] == []


def test_an_image_file_that_cannot_be_read_or_made_is_one_line(served: Served, tmp_path: Path) -> None:
    where = ("--system", served.url, "--token-file", str(served.token_file))
    image, folder = tmp_path / "in.ckd", tmp_path / "folder"
    data = bytearray(small_image(image))
    data[512 + 31 * SLOTS["3390"] + 2] ^= 1  # found when half of it has been sent
    image.write_bytes(data)
    folder.mkdir()
    trackbridge("snap", "create", "0201", "to-export", *where)

    def said(*arguments: str) -> str:
        line = trackbridge("volume", *arguments, *where, status=2)
        assert line.count("\n") == 1
        return line

    assert said("import", "0520", f"{folder}/none") == f"trackbridge: image {folder}/none: No such file or directory\n"
    assert "track 31" in said("import", "0520", str(image))
    assert "there is no such shadow file" in said("import", "0520", str(image), "--sf", str(tmp_path / "none_1"))
    assert ask(served, "GET", "/v1/volumes/0520").status_code == 404
    out = ("--snapshot", "to-export", "--replace")
    assert said("export", "0201", str(folder), *out) == f"trackbridge: image {folder}: a directory, not a file\n"
    assert "a directory" in said("export", "0201", ".", *out)
    nowhere = tmp_path / "nowhere" / "out.ckd"
    assert said("export", "0201", str(nowhere), *out) == (
        f"trackbridge: image {nowhere}.partial: No such file or directory\n"
    )


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("no image", "byte 0: image device header: form"),
        ("compressed", "not a plain image in one file"),
        ("cut inside a cylinder", "no whole cylinder"),
        ("a damaged track", "track 31"),
        ("shorter than announced", None),
    ],
)
def test_an_image_that_cannot_be_imported_leaves_no_volume(
    served: Served, tmp_path: Path, what: str, text: str | None
) -> None:
    data = bytearray(small_image(tmp_path / "x.ckd"))
    length = None
    if what == "no image":
        data[:8] = b"not CKD!"
    elif what == "compressed":
        data[:8] = b"CKD_C370"
    elif what == "cut inside a cylinder":
        del data[-100:]
    elif what == "a damaged track":
        data[512 + 31 * SLOTS["3390"] + 2] ^= 1
    else:
        length, data = len(data), data[: len(data) // 2]
    if length is None:
        answer = ask(served, "POST", "/v1/volumes/0510/image", bytes(data))
        assert answer.status_code == 400 and text is not None and text in answer.json()["error"]
    else:
        upload_half(served, length, bytes(data))
    deadline = time.monotonic() + PATIENCE_S
    while ask(served, "POST", "/v1/volumes/0510/image", b"").json()["error"].endswith("is being imported"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert ask(served, "GET", "/v1/volumes/0510").status_code == 404
    with pytest.raises(SharedError, match="device not found"):
        SharedClient(served.address, 0x0510)


def upload_half(served: Served, length: int, data: bytes) -> None:
    """Announce `length` bytes, send fewer and go, as a client that is killed does."""
    host, _, port = served.url.removeprefix("http://").partition(":")
    token = served.token_file.read_text().strip()
    head = (
        f"POST /v1/volumes/0510/image HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Length: {length}\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), PATIENCE_S) as sock:
        sock.sendall(head.encode() + data)
        deadline = time.monotonic() + PATIENCE_S
        while "is being imported" not in ask(served, "POST", "/v1/volumes/0510/image", b"").json()["error"]:
            assert time.monotonic() < deadline, "another import of the same volume is refused meanwhile"
            time.sleep(0.05)
