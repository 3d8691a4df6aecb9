"""A running system as the command line reaches it: `--system URL`, and the token that changes need."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
import httpx

from controller.array.images.output import Output
from tools.bad_input import BadInput

Command = TypeVar("Command", bound=Callable[..., Any])
TOKEN_VARIABLE = "TRACKBRIDGE_TOKEN"
TIMEOUT_S = 60.0


def system_options(command: Command) -> Command:
    """`--system` and `--token-file` of a command, which gets them as `system` and `token_file`."""
    command = click.option(
        "--token-file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help=f"The token of --system, for changes; otherwise it is taken from {TOKEN_VARIABLE}.",
    )(command)
    return click.option("--system", metavar="URL", help="A running system, for example http://127.0.0.1:8090.")(command)


class Unreachable(BadInput):
    """Nobody answers there."""


class SystemClient:
    """One running system. Everything that goes wrong is BadInput: one line, exit status 2."""

    def __init__(self, url: str, token_file: Path | None) -> None:
        self._url = url.rstrip("/")
        try:
            token = token_file.read_text(encoding="utf-8").strip() if token_file else os.environ.get(TOKEN_VARIABLE, "")
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"{token_file}: {error}") from error
        if not token.isascii():
            raise BadInput(f"{token_file or TOKEN_VARIABLE}: a token has no characters outside ASCII")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def get(self, path: str) -> dict[str, Any]:
        """Look."""
        return self._ask("GET", path)

    def download(self, path: str, target: Path, *, replace: bool, progress: Callable[[int, int], None] | None) -> int:
        """Write what `path` gives to the file `target`, which appears when it is complete; its length in bytes.

        Raises ImageError for a file that cannot be made.
        """
        done = length = 0
        with Output([target], replace=replace) as output:
            try:
                with httpx.stream(
                    "GET", self._url + path, headers=self._headers, timeout=TIMEOUT_S, trust_env=False
                ) as answer:
                    if answer.is_error:
                        answer.read()
                        raise self._refusal(answer)
                    length = self._length(answer)
                    for piece in answer.iter_bytes():
                        output.files[0].append(piece)
                        done += len(piece)
                        if progress is not None:
                            progress(done, length)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                if not done:
                    raise BadInput(f"{self._url}: {error}") from error
            if done != length:
                raise BadInput(f"{self._url}: {done} of {length} bytes came; the system's event log may say why")
            output.finish()
        return length

    def upload(self, path: str, length: int, pieces: Iterable[bytes]) -> dict[str, Any]:
        """Change, with `pieces` of `length` bytes in all as the body."""
        headers = {"Content-Length": str(length), "Content-Type": "application/octet-stream"}
        return self._ask("POST", path, content=pieces, headers=headers)

    def _length(self, answer: httpx.Response) -> int:
        text = answer.headers.get("content-length", "")
        if not text.isdecimal():
            raise BadInput(f"{self._url}: the answer does not say how long it is")
        return int(text)

    def _refusal(self, answer: httpx.Response) -> BadInput:
        """What a system says that it refuses; the HTTP status where it says nothing."""
        try:
            found = answer.json()
        except ValueError:
            found = None
        text = found.get("error") if isinstance(found, dict) else None
        return BadInput(f"{self._url}: {text or f'HTTP status {answer.status_code}'}")

    def post(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Change."""
        return self._ask("POST", path, json=body)

    def delete(self, path: str) -> dict[str, Any]:
        """Delete."""
        return self._ask("DELETE", path)

    def _ask(self, method: str, path: str, headers: Mapping[str, str] | None = None, **body: Any) -> dict[str, Any]:
        try:
            answer = httpx.request(
                method, self._url + path, headers={**self._headers, **(headers or {})}, timeout=TIMEOUT_S,
                trust_env=False, **body,
            )  # fmt: skip
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            nobody = isinstance(error, httpx.NetworkError | httpx.TimeoutException)
            raise (Unreachable if nobody else BadInput)(f"{self._url}: {error}") from error
        try:
            found = answer.json()
        except ValueError as error:
            raise BadInput(f"{self._url}: the answer is not JSON (HTTP status {answer.status_code})") from error
        if answer.is_error:
            raise self._refusal(answer)
        if not isinstance(found, dict):
            raise BadInput(f"{self._url}: the answer is not a JSON object")
        return found
