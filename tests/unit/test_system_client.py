"""`--system URL` where something else listens: one line says what is wrong with its answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from tools.bad_input import BadInput
from tools.cli import main
from tools.system_client import TOKEN_VARIABLE, SystemClient


@contextmanager
def something_else(body: bytes, *, says_length: bool = True) -> Iterator[SystemClient]:
    """A client of a server that answers everything with `body`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            if says_length:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is logged."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield SystemClient(f"http://127.0.0.1:{server.server_port}", None)
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"<html>hello</html>", "the answer is not JSON (HTTP status 200)"),
        (b"[1, 2]", "the answer is not a JSON object"),
    ],
)
def test_an_answer_that_is_no_object(body: bytes, text: str) -> None:
    with something_else(body) as client, pytest.raises(BadInput) as error:
        client.get("/v1/pairs")
    assert error.value.message.endswith(text)


def test_a_download_of_unknown_length_leaves_nothing_behind(tmp_path: Path) -> None:
    with something_else(b"some bytes", says_length=False) as client, pytest.raises(BadInput) as error:
        client.download("/v1/image", tmp_path / "out.ckd", replace=False, progress=None)
    assert error.value.message.endswith("the answer does not say how long it is")
    assert list(tmp_path.iterdir()) == []


def test_a_token_that_cannot_be_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "schlüssel")
    with pytest.raises(BadInput, match=f"{TOKEN_VARIABLE}: a token has no characters outside ASCII"):
        SystemClient("http://127.0.0.1:1", None)


@pytest.mark.parametrize("option", [("--owner", "ME"), ("--vtoc-tracks", "30")])
def test_what_a_running_system_would_pass_over_is_refused(option: tuple[str, str]) -> None:
    given = ["volume", "create", "0A", "--model", "3390-1", "--volser", "TST001", "--system", "http://127.0.0.1:1"]
    ended = CliRunner().invoke(main, [*given, *option])
    assert (ended.exit_code, ended.output) == (
        2, "trackbridge: --owner, --vtoc-tracks: go without --system, a running system makes the usual label\n"
    )  # fmt: skip
