"""TLS between sites: whoever is not the other system is refused, with one line that says why."""

from __future__ import annotations

import socket
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio
import trio.testing
import trustme
from click.testing import CliRunner

from controller.config import ConfigError, TlsConfig
from controller.links.tls import Refused, Tls, system_name
from host_emulator import orders
from host_emulator.session import open_session
from tests.helpers.patience import PATIENCE_S
from tools.bridge_bench.sites import Plan, write_config
from tools.cli import main
from tools.demo_sites import SYSTEMS, start_site

A, B = (0x0100, "000000012345"), (0x0200, "000000067890")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Certificates of A and B, and of a C of the same authority, and an A of another."""
    runner = CliRunner()
    known = ("0100:000000012345", "0200:00:67890", "0300:C")
    for name, systems in (("ours", known), ("other", known[:1])):
        ended = runner.invoke(main, ["cert", str(tmp_path / name), *systems])
        assert ended.exit_code == 0, ended.output
    return tmp_path


def tls(folder: Path, own: str, peer: tuple[int, str], authority: str = "ours", by: str = "ours") -> Tls:
    return Tls(TlsConfig(folder / by / f"{own}.pem", folder / authority / "authority.pem", *peer))


async def meet(opens: Tls, accepts: Tls) -> tuple[str, str]:
    """What each end says: its complaint, or "" when it took the other's first words."""
    left, right = trio.testing.memory_stream_pair()
    said = {}

    async def end(name: str, stream: trio.abc.Stream, side: Tls, opened: bool) -> None:
        try:
            secured = await side.secure(stream, opened=opened)
            await secured.send_all(b"hello")
            said[name] = "" if await secured.receive_some(5) == b"hello" else "the end"
        except (Refused, trio.BrokenResourceError) as error:
            said[name] = str(error) or type(error).__name__
            await trio.aclose_forcefully(stream)

    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(end, "opens", left, opens, True)
            nursery.start_soon(end, "accepts", right, accepts, False)
    return said["opens"], said["accepts"]


async def test_the_two_systems_know_each_other(folder: Path) -> None:
    assert await meet(tls(folder, "0100-000000012345", B), tls(folder, "0200-000000067890", A)) == ("", "")


@pytest.mark.parametrize(
    ("stranger", "complaint"),
    [
        (lambda f: tls(f, "0100-000000012345", B, by="other"), "its certificate is not accepted: "),
        (lambda f: tls(f, "0300-00000000000C", B), "is for 00000000000c.0300.trackbridge, not for 000000012345.0100"),
    ],
    ids=["another authority", "another system"],
)
async def test_a_stranger_that_connects_is_refused(
    folder: Path, stranger: Callable[[Path], Tls], complaint: str
) -> None:
    opens, accepts = await meet(stranger(folder), tls(folder, "0200-000000067890", A))
    assert complaint in accepts and "\n" not in accepts
    assert opens


async def test_a_stranger_that_listens_is_refused(folder: Path) -> None:
    opens, _ = await meet(tls(folder, "0100-000000012345", B), tls(folder, "0300-00000000000C", A))
    assert opens == "the certificate is for 00000000000c.0300.trackbridge, not for 000000067890.0200.trackbridge"
    opens, _ = await meet(
        tls(folder, "0100-000000012345", B), tls(folder, "0100-000000012345", A, authority="other", by="other")
    )
    assert opens.startswith("its certificate is not accepted: ")


async def test_what_has_expired_is_refused(folder: Path) -> None:
    ours = folder / "ours"
    authority = trustme.CA.from_pem((ours / "authority.pem").read_bytes(), (ours / "authority.key").read_bytes())
    past = datetime.now(UTC) - timedelta(days=2)
    old = authority.issue_cert(system_name(*A), not_before=past, not_after=past + timedelta(days=1))
    (ours / "0100-old.pem").write_bytes(old.private_key_and_cert_chain_pem.bytes())
    _, accepts = await meet(tls(folder, "0100-old", B), tls(folder, "0200-000000067890", A))
    assert accepts == "its certificate is not accepted: certificate has expired"


async def test_a_plain_connection_is_refused(folder: Path) -> None:
    left, right = trio.testing.memory_stream_pair()
    await left.send_all(b"\x02\x01\x00\x00" * 20)
    with pytest.raises(Refused, match=r"^no TLS: ") as caught:
        await tls(folder, "0200-000000067890", A).secure(right, opened=False)
    assert "\n" not in str(caught.value)


async def test_one_that_says_nothing_is_refused(folder: Path, autojump_clock: object) -> None:
    _left, right = trio.testing.memory_stream_pair()
    with pytest.raises(Refused, match="no TLS handshake within"):
        await tls(folder, "0200-000000067890", A).secure(right, opened=False)


def test_keys_are_for_their_owner_alone(folder: Path) -> None:
    for name in ("authority.key", "0100-000000012345.pem"):
        assert stat.S_IMODE((folder / "ours" / name).stat().st_mode) == 0o600
    before = (folder / "ours" / "authority.pem").read_bytes()
    assert CliRunner().invoke(main, ["cert", str(folder / "ours"), "0400:D", "--json"]).exit_code == 0
    assert (folder / "ours" / "authority.pem").read_bytes() == before


@pytest.mark.parametrize("missing", ["authority.key", "authority.pem"])
def test_half_an_authority_is_not_replaced(folder: Path, missing: str) -> None:
    """The certificates that systems have would be those of another: the key is kept elsewhere, as it should be."""
    ours = folder / "ours"
    (ours / missing).unlink()
    before = {path.name: path.read_bytes() for path in ours.iterdir()}
    ended = CliRunner().invoke(main, ["cert", str(ours), "0400:D"])
    assert (ended.exit_code, ended.output.count("\n")) == (2, 1), ended.output
    assert f"{missing} is not" in ended.output
    assert {path.name: path.read_bytes() for path in ours.iterdir()} == before


@pytest.mark.parametrize("broken", ["authority.key", "authority.pem", "another's key"])
def test_an_authority_that_cannot_be_read_is_one_line_that_names_its_files(folder: Path, broken: str) -> None:
    ours, other = folder / "ours", folder / "other"
    if broken == "another's key":
        (ours / "authority.key").write_bytes((other / "authority.key").read_bytes())
    else:
        (ours / broken).write_text("rubbish")
    ended = CliRunner().invoke(main, ["cert", str(ours), "0400:D"])
    assert (ended.exit_code, ended.output.count("\n")) == (2, 1), ended.output
    assert f"{ours / 'authority.pem'}, {ours / 'authority.key'}: not a certificate and its own key: " in ended.output
    assert not (ours / "0400-00000000000D.pem").exists()


@pytest.mark.parametrize("system", ["0100", "XX:1", "0100:lower", "0100:1234567890123"])
def test_a_system_that_is_none(tmp_path: Path, system: str) -> None:
    ended = CliRunner().invoke(main, ["cert", str(tmp_path), system])
    assert ended.exit_code == 2 and "is not SSID:SERIAL" in ended.output


@pytest.mark.parametrize("broken", ["certificate", "authority"])
def test_a_file_that_is_no_certificate_is_one_line(folder: Path, broken: str) -> None:
    ours = folder / "ours"
    (ours / "rubbish").write_text("rubbish")
    files = {"certificate": ours / "0100-000000012345.pem", "authority": ours / "authority.pem"}
    files[broken] = ours / "rubbish"
    with pytest.raises(ConfigError, match=rf"^tls\.{broken}: .*rubbish: ") as caught:
        Tls(TlsConfig(files["certificate"], files["authority"], *B))
    assert "\n" not in str(caught.value)


async def test_two_systems_over_tls(folder: Path) -> None:
    """Two processes; strangers knock at B's port meanwhile."""

    def secured(name: str, own: str, peer: str, peers: dict[int, str] | None) -> Path:
        path = write_config(folder, name, Plan(), None, peers)
        line = f'tls = {{ certificate = "ours/{own}.pem", authority = "ours/authority.pem", peer = "{peer}" }}'
        path.write_text(path.read_text().replace('link = "wan"', f'link = "wan"\n{line}'))
        return path

    config_b = secured("B", "0200-000000067890", "0100:000000012345", None)
    with start_site(folder, config_b) as b:
        host, _, port = b.listening[0x20].rpartition(":")
        with socket.create_connection((host, int(port))) as plain:
            plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
            plain.settimeout(PATIENCE_S)
            while plain.recv(100):
                pass
        config_a = secured("A", "0100-000000012345", "0200:000000067890", b.listening)
        with start_site(folder, config_a) as a:
            async with open_session(*a.host_address) as to_a:
                order = orders.pprc(orders.establish_path(SYSTEMS["A"], SYSTEMS["B"], (0x10, 0x11)))
                with trio.fail_after(PATIENCE_S):
                    while not (await to_a.run_program(0, order)).completed:
                        await trio.sleep(0.2)
        (refused,) = [event for event in b.events() if event["text"] == "connection refused"]
        assert refused["said"] == "0020" and refused["why"].startswith("no TLS: ")
