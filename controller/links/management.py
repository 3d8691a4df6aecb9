"""Management over HTTP with JSON: a table of routes over `Operations`, and the OpenAPI document made from that table.

Looking needs nothing; a change needs `Authorization: Bearer TOKEN`. An error is an object with one text, `error`:
400 a bad request, 401 no or a wrong token, 404 no such thing, 409 not now or not any more, 411 an image without its
length, 413 a body that is too long, 503 the array takes nothing.
Device numbers are hexadecimal texts, times seconds since 1970, as everywhere.
"""

from __future__ import annotations

import hmac
import json
import re
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ccw.geometry import geometry_for, geometry_of
from ccw.volume_label import initial_tracks
from controller.array import FencedError, StoreError, UnknownVolumeError
from controller.array.images import ImageError
from controller.array.snapshots import SnapshotError
from controller.array.volumes import VolumeExistsError
from controller.config import ManagementConfig
from controller.links.operations import BusyError, Operations

API_VERSION = "1"
BODY_BYTES_MAX = 65_536
BACKLOG = 64
SHUTDOWN_S = 1.0
JSON = Any
Answer = Callable[[Operations, dict[str, Any]], Awaitable[JSON]]
_KINDS: dict[str, type] = {"string": str, "boolean": bool, "integer": int}
_DEVICE = re.compile("[0-9A-Fa-f]{1,4}")


@dataclass(frozen=True, slots=True)
class Verb:
    """One route. `body`: the fields of its JSON object and what they are; a name that ends in `?` may be left out.

    upload: its body is an image, which the answer is given as `pieces` and their `length` in bytes. download: so is
    what it returns.
    """

    method: str
    path: str
    name: str
    summary: str
    answer: Answer
    body: tuple[tuple[str, str, str], ...] = ()  # name, JSON type, meaning
    status: int = 200
    upload: bool = False
    download: bool = False

    @property
    def changes(self) -> bool:
        return self.method != "GET"


async def _status(operations: Operations, given: dict[str, Any]) -> JSON:
    return operations.status()


async def _volumes(operations: Operations, given: dict[str, Any]) -> JSON:
    return {"volumes": operations.volumes()}


async def _volume(operations: Operations, given: dict[str, Any]) -> JSON:
    return operations.volume(given["device"])


async def _pairs(operations: Operations, given: dict[str, Any]) -> JSON:
    return {"pairs": operations.pairs()}


async def _all_snapshots(operations: Operations, given: dict[str, Any]) -> JSON:
    return {"snapshots": operations.snapshots()}


async def _snapshots(operations: Operations, given: dict[str, Any]) -> JSON:
    return {"snapshots": operations.snapshots(given["device"])}


async def _create(operations: Operations, given: dict[str, Any]) -> JSON:
    return await operations.create_snapshot(given["device"], given["name"])


async def _delete(operations: Operations, given: dict[str, Any]) -> JSON:
    await operations.delete_snapshot(given["device"], given["name"])
    return {"device": f"{given['device']:04X}", "name": given["name"]}


async def _restore(operations: Operations, given: dict[str, Any]) -> JSON:
    await operations.restore(given["device"], given["name"])
    return operations.volume(given["device"])


async def _clone(operations: Operations, given: dict[str, Any]) -> JSON:
    read_only = bool(given.get("read_only", False))
    return await operations.clone(given["device"], given["name"], given["target"], read_only=read_only)


async def _practice(operations: Operations, given: dict[str, Any]) -> JSON:
    copies = {}
    for entry in given["copies"].split(","):
        secondary, _, target = entry.partition(":")
        if not (_DEVICE.fullmatch(secondary) and _DEVICE.fullmatch(target)) or int(secondary, 16) in copies:
            raise HTTPException(400, f'copies: {entry!r} is not one secondary and one new volume ("0003:0303")')
        copies[int(secondary, 16)] = int(target, 16)
    return {"volumes": await operations.practice(given["name"], copies)}


async def _create_volume(operations: Operations, given: dict[str, Any]) -> JSON:
    cylinders = given.get("cylinders")
    if cylinders is None:
        geometry = geometry_of(given["model"])
    else:
        geometry = geometry_for(given["model"].partition("-")[0], cylinders)
    tracks = initial_tracks(geometry, given["volser"]) if "volser" in given else {}
    return await operations.create_volume(given["device"], geometry, tracks)


async def _import_volume(operations: Operations, given: dict[str, Any]) -> JSON:
    return await operations.import_volume(given["device"], given["length"], given["pieces"])


async def _online(operations: Operations, given: dict[str, Any]) -> JSON:
    return operations.set_ready(given["device"], True)


async def _offline(operations: Operations, given: dict[str, Any]) -> JSON:
    return operations.set_ready(given["device"], False)


async def _delete_volume(operations: Operations, given: dict[str, Any]) -> JSON:
    await operations.delete_volume(given["device"])
    return {"device": f"{given['device']:04X}", "deleted": True}


async def _check(operations: Operations, given: dict[str, Any]) -> JSON:
    return await operations.check()


async def _download(operations: Operations, given: dict[str, Any]) -> Response:
    length, body = operations.image(given["device"], given["name"])
    headers = {"Content-Length": str(length)}
    return StreamingResponse(body, media_type="application/octet-stream", headers=headers)


_SNAPSHOT = "/v1/volumes/{device}/snapshots/{name}"
VERBS: tuple[Verb, ...] = (
    Verb("GET", "/v1/system", "getSystem", "The system as a whole.", _status),
    Verb("GET", "/v1/volumes", "listVolumes", "The volumes that are served.", _volumes),
    Verb("POST", "/v1/volumes", "createVolume", "Make a new volume and serve it.", _create_volume,
         (("device", "string", "device number, hexadecimal"), ("model", "string", "3390-3, or a device type"),
          ("cylinders?", "integer", "another size than the model's"),
          ("volser?", "string", "it gets a label and an empty VTOC")), 201),
    Verb("POST", "/v1/check", "check", "Verify every track of the store.", _check),
    Verb("GET", _SNAPSHOT + "/image", "downloadSnapshot", "The snapshot as a plain CKD image.", _download,
         download=True),
    Verb("GET", "/v1/volumes/{device}", "getVolume", "One volume.", _volume),
    Verb("DELETE", "/v1/volumes/{device}", "deleteVolume", "Delete a volume that nobody uses; its snapshots stay.",
         _delete_volume),
    Verb("POST", "/v1/volumes/{device}/online", "varyOnline", "Make a device ready again and tell its hosts.", _online),
    Verb("POST", "/v1/volumes/{device}/offline", "varyOffline", "Make a device not ready.", _offline),
    Verb("POST", "/v1/volumes/{device}/image", "importVolume", "Make a volume of a plain CKD image and serve it.",
         _import_volume, status=201, upload=True),
    Verb("GET", "/v1/pairs", "listPairs", "The remote copy pairs of this system.", _pairs),
    Verb("POST", "/v1/practice", "practice", "Serve writable copies of secondaries, all of one instant.", _practice,
         (("name", "string", "of the snapshots they are made of"),
          ("copies", "string", "secondary:new device, hexadecimal, separated by commas")), 201),
    Verb("GET", "/v1/snapshots", "listSnapshots", "The snapshots of all volumes.", _all_snapshots),
    Verb("GET", "/v1/volumes/{device}/snapshots", "listSnapshotsOfVolume", "The snapshots of a volume.", _snapshots),
    Verb("POST", "/v1/volumes/{device}/snapshots", "createSnapshot", "Take a snapshot, while hosts go on.", _create,
         (("name", "string", "1 to 64 letters, digits, '.', '-' and '_'"),), 201),
    Verb("DELETE", _SNAPSHOT, "deleteSnapshot", "Delete a snapshot.", _delete),
    Verb("POST", _SNAPSHOT + "/restore", "restoreSnapshot", "Give the volume back what it held then.", _restore),
    Verb("POST", _SNAPSHOT + "/clone", "cloneSnapshot", "Serve the snapshot's contents as a new volume.", _clone,
         (("target", "string", "device number of the new volume, hexadecimal"),
          ("read_only?", "boolean", "hosts may only read it")), 201),
)  # fmt: skip


class Management:
    """The HTTP server of one system."""

    def __init__(self, config: ManagementConfig, operations: Operations, token: str) -> None:
        self.address: tuple[str, int] | None = None
        self._config = config
        self._operations = operations
        self._token = token
        self.app = Starlette(
            routes=[
                *(Route(verb.path, self._endpoint(verb), methods=[verb.method], name=verb.name) for verb in VERBS),
                Route("/openapi.json", _document),
                Route("/metrics", self._metrics),
            ],
            exception_handlers={HTTPException: _http_error},
        )

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen and serve until cancelled. Raises OSError when the address cannot be had."""
        host, port = self._config.listen
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        with listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((host, port))
            except OSError as error:
                raise OSError(f"management at {host}:{port}: {error.strerror or error}") from error
            listener.listen(BACKLOG)
            self.address = listener.getsockname()[:2]
            config = Config()
            config.bind = [f"fd://{listener.detach()}"]  # who serves owns it
            config.accesslog = config.errorlog = None
            config.graceful_timeout = SHUTDOWN_S
            task_status.started()
            await serve(self.app, config, mode="asgi")  # type: ignore[arg-type]  # Starlette is an ASGI application

    def _endpoint(self, verb: Verb) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            if verb.changes:
                self._authorise(request)
            given = await _given(verb, request)
            try:
                answer = await verb.answer(self._operations, given)
                return answer if isinstance(answer, Response) else JSONResponse(answer, verb.status)
            except UnknownVolumeError as error:
                raise HTTPException(404, str(error)) from error
            except ClientDisconnect as error:
                raise HTTPException(400, "the client has gone before its body was complete") from error
            except (VolumeExistsError, SnapshotError, BusyError) as error:
                missing = "has no snapshot" in str(error)
                raise HTTPException(404 if missing else 409, str(error)) from error
            except (ValueError, ImageError) as error:
                raise HTTPException(400, str(error)) from error
            except (FencedError, StoreError) as error:
                raise HTTPException(503, str(error)) from error

        return endpoint

    def _authorise(self, request: Request) -> None:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not hmac.compare_digest(token.encode(), self._token.encode()):
            raise HTTPException(401, "a change needs the system's token", {"WWW-Authenticate": "Bearer"})

    async def _metrics(self, request: Request) -> Response:
        return Response(metrics(self._operations), media_type="text/plain; version=0.0.4")


async def _given(verb: Verb, request: Request) -> dict[str, Any]:
    """The parameters of a request, from its path and its body, checked. Raises HTTPException."""
    given: dict[str, Any] = dict(request.path_params)
    if verb.body:
        given |= await _body(verb, request)
    if verb.upload:
        length = request.headers.get("content-length", "")
        if not (length.isascii() and length.isdecimal()):
            raise HTTPException(411, "the length of the image is needed (Content-Length)")
        given |= {"length": int(length), "pieces": request.stream()}
    for name in ("device", "target"):
        if name in given:
            if not _DEVICE.fullmatch(given[name]):
                raise HTTPException(400, f"{name}: {given[name]!r} is not 1 to 4 hexadecimal digits")
            given[name] = int(given[name], 16)
    return given


async def _body(verb: Verb, request: Request) -> dict[str, Any]:
    data = b""
    async for piece in request.stream():
        data += piece
        if len(data) > BODY_BYTES_MAX:
            raise HTTPException(413, f"the body has more than {BODY_BYTES_MAX} bytes")
    try:
        body = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise HTTPException(400, "the body is not a JSON object")
    kinds = {name.rstrip("?"): kind for name, kind, _ in verb.body}
    for name, value in body.items():
        if name not in kinds:
            raise HTTPException(400, f"{name}: no such field (known: {', '.join(kinds)})")
        if not isinstance(value, _KINDS[kinds[name]]) or (kinds[name] == "integer" and isinstance(value, bool)):
            raise HTTPException(400, f"{name}: a {kinds[name]} is needed")
    for name, _, _ in verb.body:
        if not name.endswith("?") and name not in body:
            raise HTTPException(400, f"{name}: is needed")
    return body


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)


async def _document(request: Request) -> Response:
    return JSONResponse(openapi())


def openapi() -> dict[str, Any]:
    """The OpenAPI 3.1 document of all routes."""
    paths: dict[str, dict[str, Any]] = {}
    for verb in VERBS:
        paths.setdefault(verb.path, {})[verb.method.lower()] = _operation(verb)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Trackbridge management", "version": API_VERSION},
        "paths": paths,
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def _operation(verb: Verb) -> dict[str, Any]:
    error = {"description": "what is wrong", "content": {"application/json": {"schema": {
        "type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"],
    }}}}  # fmt: skip
    refusals = ["400", "404"] + (["401", "409", "503"] if verb.changes else [])
    refusals += ["411"] if verb.upload else ["413"] if verb.body else []
    done = {"application/octet-stream": {}} if verb.download else {"application/json": {"schema": {"type": "object"}}}
    operation: dict[str, Any] = {
        "operationId": verb.name,
        "summary": verb.summary,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in re.findall(r"{(\w+)}", verb.path)
        ],
        "responses": {
            str(verb.status): {"description": "done", "content": done},
            **dict.fromkeys(refusals, error),
        },
    }
    if verb.changes:
        operation["security"] = [{"token": []}]
    if verb.body:
        properties = {name.rstrip("?"): {"type": kind, "description": text} for name, kind, text in verb.body}
        required = [name for name, _, _ in verb.body if not name.endswith("?")]
        schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    if verb.upload:
        operation["requestBody"] = {"required": True, "content": {"application/octet-stream": {}}}
    return operation


def metrics(operations: Operations) -> bytes:
    """The figures of the system as Prometheus text."""
    registry = CollectorRegistry()
    status = operations.status()
    for name, text in (("appended", "records appended to the log"), ("durable", "last durable sequence of the log")):
        Gauge(f"trackbridge_array_{name}", text, registry=registry).set(status[name])
    Gauge("trackbridge_array_fenced", "1 after a failed commit", registry=registry).set(status["fenced"])
    labels = ("device",)
    clients = Gauge("trackbridge_shared_clients", "clients of a shared device", labels, registry=registry)
    written = Gauge("trackbridge_volume_tracks_written", "tracks that take space", labels, registry=registry)
    snapshots = Gauge("trackbridge_volume_snapshots", "snapshots of a volume", labels, registry=registry)
    for volume in operations.volumes():
        clients.labels(volume["device"]).set(volume["clients"])
        written.labels(volume["device"]).set(volume["written"])
        snapshots.labels(volume["device"]).set(volume["snapshots"])
    behind = Gauge("pprc_outofsync_tracks", "tracks still to be copied", ("pair", "state"), registry=registry)
    for pair in operations.pairs():
        if pair["out_of_sync"] is not None:
            behind.labels(str(pair["pair"]), pair["state"]).set(pair["out_of_sync"])
    return generate_latest(registry)
