"""`trackbridge volume`: the volumes of a store, or of a running system: create, list, import, export, check, delete."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Column, Table

from ccw.geometry import MODELS, Geometry, geometry_for, geometry_of
from ccw.volume_label import initial_tracks
from controller.array import UnknownVolumeError, VirtualArrayStore
from controller.array.checking import CheckReport, check_store
from controller.array.images import (
    ExportForm,
    ImageReport,
    export_volume,
    import_image,
    open_image,
    plain_length,
    plain_pieces,
    shadow_files,
)
from controller.array.in_place import shadow_of
from controller.array.snapshots import SnapshotCatalog
from controller.array.volumes import create_volume, delete_volume, host_volumes, unfinished
from tools.bad_input import BadInput
from tools.stores import StorePlace, progress_bar, store_errors, store_options, volume_number, why_not_replaced
from tools.system_client import SystemClient, system_options

DAMAGE_LISTED_MAX = 50
FORMS = [form.value for form in ExportForm]
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group(context_settings={"help_option_names": ["--help"]})
def volume() -> None:
    """Volumes of a store that no system has open, or of a running one (--system). DEVICE is a number, hexadecimal."""


@volume.command()
@click.argument("device", callback=volume_number)
@store_options
@click.option("--model", required=True, help="3390-3, or a device type with --cylinders.")
@click.option("--cylinders", type=click.IntRange(1), help="Another size than the model's.")
@click.option("--volser", metavar="SERIAL", help="Volume serial: the volume gets a label and an empty VTOC.")
@click.option("--owner", default="", help="Owner in the label, up to 14 characters.")
@click.option("--vtoc-tracks", default=0, type=click.IntRange(0), help="By default the rest of cylinder 0.")
@click.option("--raw", is_flag=True, help="No label: every track as if never written.")
@system_options
@json_option
def create(
    device: int, store: Path | None, config: Path | None, model: str, cylinders: int | None, volser: str | None,
    owner: str, vtoc_tracks: int, raw: bool, system: str | None, token_file: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Make an initialised, empty volume. Tracks cost nothing until they are written. A running system serves it."""
    if (volser is None) != raw:
        raise BadInput("--raw: a volume without a label has no serial" if raw else "--volser: a serial is needed")
    if system is not None:
        _alone(store, config)
        if owner or vtoc_tracks:
            raise BadInput("--owner, --vtoc-tracks: go without --system, a running system makes the usual label")
        body = {"device": f"{device:04X}", "model": model, "cylinders": cylinders, "volser": volser}
        made = {name: value for name, value in body.items() if value is not None}
        row = SystemClient(system, token_file).post("/v1/volumes", made)
        _say(as_json, row, f"volume {device:02X}: {row['model']}, {row['cylinders']} cylinders, serial {volser or '-'}")
        return
    geometry = _geometry(model, cylinders)
    try:
        tracks = initial_tracks(geometry, volser, owner=owner, vtoc_tracks=vtoc_tracks) if volser is not None else {}
    except ValueError as error:
        raise BadInput(str(error)) from error
    with StorePlace(store, config).open(write=True, create=True) as opened:
        create_volume(opened, device, geometry, tracks)
        opened.sync()
        row = _row(opened, device, geometry, 0)
    _say(as_json, row, f"volume {device:02X}: {geometry.name}, {geometry.cylinders} cylinders, serial {volser or '-'}")


@volume.command("list")
@store_options
@system_options
@json_option
def list_(
    store: Path | None, config: Path | None, system: str | None, token_file: Path | None, as_json: bool
) -> None:
    """List the volumes: model, size, tracks that are written, snapshots; of a running system also their use."""
    if system is not None:
        _alone(store, config)
        _list(as_json, SystemClient(system, token_file).get("/v1/volumes")["volumes"], [])
        return
    with StorePlace(store, config).open() as opened:
        catalog = SnapshotCatalog(opened)
        found = host_volumes(opened)
        rows = [_row(opened, info.number, info.geometry, len(catalog.of(info.number))) for info in found]
        cut_off = [f"{number:02X}" for number in unfinished(opened)]
    _list(as_json, rows, cut_off)


def _alone(store: Path | None, config: Path | None) -> None:
    if store is not None or config is not None:
        raise BadInput("--system goes without --store and --config")


def _list(as_json: bool, rows: list[dict[str, Any]], cut_off: list[str]) -> None:
    if as_json:
        click.echo(json.dumps({"volumes": rows, "unfinished": cut_off}, indent=2))
        return
    table = Table("device", "model", *_numeric("cylinders", "tracks", "written", "snapshots"))
    for row in rows:
        numbers = (f"{row[name]:,}" for name in ("cylinders", "tracks", "written", "snapshots"))
        table.add_row(row["device"], row["model"], *numbers)
    Console().print(table)
    if cut_off:
        click.echo(f"unfinished, take no part in anything: {', '.join(cut_off)}")


@volume.command("import")
@click.argument("device", callback=volume_number)
@click.argument("image", type=click.Path(path_type=Path))
@store_options
@click.option("--sf", metavar="NAME", type=click.Path(path_type=Path),
              help="Shadow files, as sf= of a Hercules device statement: 1, 2, ... before the first dot.")
@system_options
@json_option
def import_(
    device: int, image: Path, store: Path | None, config: Path | None, sf: Path | None, system: str | None,
    token_file: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Make a new volume of IMAGE: plain CKD (several files: the first; gzipped or not), CCKD or CCKD64.

    A running system serves it at once.
    """
    if system is not None:
        _alone(store, config)
        with store_errors(str(image)):
            report = _upload(SystemClient(system, token_file), device, image, sf)
        _report(as_json, device, report, "imported from")
        return
    place = StorePlace(store, config)
    with place.open(write=True, create=True) as opened, progress_bar(f"import {image.name}") as advance:
        shadows = shadow_files(sf) if sf is not None else []
        report = import_image(opened, device, image, shadows=shadows, progress=advance)
    _report(as_json, device, report, "imported from")


def _upload(client: SystemClient, device: int, image: Path, sf: Path | None) -> ImageReport:
    """Read the image here and hand it over as a plain one."""
    shadows = shadow_files(sf) if sf is not None else []
    with open_image(image, shadows) as source, progress_bar(f"import {image.name}") as advance:
        geometry = source.geometry

        def pieces() -> Iterator[bytes]:
            for done, piece in enumerate(plain_pieces(str(image), geometry, source.tracks())):
                yield piece
                if advance is not None:
                    advance(done * geometry.heads, geometry.tracks)

        row = client.upload(f"/v1/volumes/{device:04X}/image", plain_length(geometry), pieces())
        files = (str(image), *map(str, shadows))
        return ImageReport(geometry, source.form, files, geometry.tracks, row["written"])


@volume.command()
@click.argument("device", callback=volume_number)
@click.argument("image", type=click.Path(path_type=Path))
@store_options
@click.option("--format", "form", default="ckd", show_default=True, type=click.Choice(FORMS),
              help="ckd: plain; cckd: compressed with zlib.")
@click.option("--single-file", is_flag=True, help="A plain image in one file, also above 2 GiB.")
@click.option("--snapshot", metavar="NAME", help="Export this snapshot of the volume.")
@click.option("--replace", is_flag=True, help="Replace files that exist.")
@system_options
@json_option
def export(
    device: int, image: Path, store: Path | None, config: Path | None, form: str, single_file: bool,
    snapshot: str | None, replace: bool, system: str | None, token_file: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Make the image file IMAGE of a volume. It appears when it is complete.

    Of a running system: of a snapshot, as a plain image in one file.
    """
    if system is not None:
        _alone(store, config)
        if snapshot is None or form != ExportForm.PLAIN.value:
            raise BadInput("--system: a running system exports a snapshot (--snapshot) as a plain image (ckd)")
        path = f"/v1/volumes/{device:04X}/snapshots/{snapshot}/image"
        with store_errors(str(image)), progress_bar(f"export {image.name}") as advance:
            length = SystemClient(system, token_file).download(path, image, replace=replace, progress=advance)
        figures = {"device": f"{device:02X}", "snapshot": snapshot, "file": str(image), "bytes": length}
        _say(as_json, figures, f"volume {device:02X}: snapshot {snapshot} exported to {image}, {length:,} bytes")
        return
    if single_file and form != ExportForm.PLAIN.value:
        raise BadInput("--single-file: only with --format ckd")
    with StorePlace(store, config).open() as opened, progress_bar(f"export {image.name}") as advance:
        number = device if snapshot is None else SnapshotCatalog(opened).find(device, snapshot).number
        report = export_volume(
            opened, number, image, ExportForm(form), single=single_file, replace=replace, progress=advance
        )
    _report(as_json, device, report, "exported to")


@volume.command()
@click.argument("device", callback=volume_number)
@store_options
@system_options
@json_option
def delete(
    device: int, store: Path | None, config: Path | None, system: str | None, token_file: Path | None, as_json: bool
) -> None:
    """Delete a volume. Its snapshots stay; one of a pair or of a bridge, or one that is in use, is refused."""
    if system is not None:
        _alone(store, config)
        SystemClient(system, token_file).delete(f"/v1/volumes/{device:04X}")
        _say(as_json, {"device": f"{device:02X}", "deleted": True}, f"volume {device:02X}: deleted")
        return
    with StorePlace(store, config).open(write=True) as opened:
        reason = why_not_replaced(opened)(device)
        if shadow_of(device) in opened.volumes():
            reason = "it is a physical volume, its tracks lie in an image"
        if reason is not None:
            raise BadInput(f"volume {device:02X} cannot be deleted: {reason}")
        delete_volume(opened, device)
        opened.sync()
    _say(as_json, {"device": f"{device:02X}", "deleted": True}, f"volume {device:02X}: deleted")


@volume.command()
@click.argument("device", callback=volume_number)
@system_options
@json_option
def offline(device: int, system: str | None, token_file: Path | None, as_json: bool) -> None:
    """Make a device of a running system not ready: its hosts read and write nothing until it is online again."""
    _vary(device, "offline", system, token_file, as_json)


@volume.command()
@click.argument("device", callback=volume_number)
@system_options
@json_option
def online(device: int, system: str | None, token_file: Path | None, as_json: bool) -> None:
    """Make a device ready again; its hosts are told by attention."""
    _vary(device, "online", system, token_file, as_json)


def _vary(device: int, state: str, system: str | None, token_file: Path | None, as_json: bool) -> None:
    if system is None:
        raise BadInput("--system is needed: a store that no system has open has no devices")
    found = SystemClient(system, token_file).post(f"/v1/volumes/{device:04X}/{state}")
    _say(as_json, found, f"volume {device:02X}: {state}")


@volume.command()
@click.argument("device", required=False, callback=volume_number)
@store_options
@json_option
def check(device: int | None, store: Path | None, config: Path | None, as_json: bool) -> None:
    """Read and verify every track of one or all volumes and of their snapshots. Exit status 1: damage was found."""
    with StorePlace(store, config).open() as opened, progress_bar("check") as advance:
        if device is not None and device not in {info.number for info in host_volumes(opened)}:
            raise UnknownVolumeError(device)
        report = check_store(opened, device, advance)
    click.echo(json.dumps(_check_json(report), indent=2) if as_json else _check_text(report))
    sys.exit(1 if report.damaged else 0)


def _geometry(model: str, cylinders: int | None) -> Geometry:
    try:
        if cylinders is None:
            return geometry_of(model)
        return geometry_for(model if model in MODELS else f"{geometry_of(model).device_type:04X}", cylinders)
    except ValueError as error:
        names = ", ".join(found.name for models in MODELS.values() for found in models)
        raise BadInput(f"--model: {error} (models: {names})") from error


def _row(store: VirtualArrayStore, number: int, geometry: Geometry, snapshots: int) -> dict[str, Any]:
    return {
        "device": f"{number:02X}",
        "model": geometry.name,
        "cylinders": geometry.cylinders,
        "heads": geometry.heads,
        "tracks": geometry.tracks,
        "written": store.allocated(number),
        "snapshots": snapshots,
    }


def _report(as_json: bool, device: int, report: ImageReport, verb: str) -> None:
    geometry = report.geometry
    figures = {
        "device": f"{device:02X}",
        "model": geometry.name,
        "cylinders": geometry.cylinders,
        "format": report.form,
        "files": list(report.files),
        "tracks": report.tracks,
        "written": report.stored,
    }
    text = (
        f"volume {device:02X}: {geometry.name}, {geometry.cylinders} cylinders, {report.stored:,} of "
        f"{report.tracks:,} tracks written; {verb} {', '.join(report.files)} ({report.form})"
    )
    _say(as_json, figures, text)


def _check_json(report: CheckReport) -> dict[str, Any]:
    damaged = [{**asdict(damage), "device": f"{damage.device:02X}"} for damage in report.damaged]
    return {"volumes": report.volumes, "snapshots": report.snapshots, "tracks": report.tracks, "damaged": damaged}


def _check_text(report: CheckReport) -> str:
    lines = []
    for damage in report.damaged[:DAMAGE_LISTED_MAX]:
        snapshot = f" snapshot {damage.snapshot}" if damage.snapshot else ""
        lines.append(f"volume {damage.device:02X}{snapshot} track {damage.track}: {damage.reason}")
    if len(report.damaged) > DAMAGE_LISTED_MAX:
        lines.append(f"… and {len(report.damaged) - DAMAGE_LISTED_MAX:,} more")
    lines.append(
        f"{report.volumes} volumes, {report.snapshots} snapshots, {report.tracks:,} tracks read: "
        f"{len(report.damaged):,} damaged"
    )
    return "\n".join(lines)


def _numeric(*names: str) -> Sequence[Column]:
    return [Column(name, justify="right") for name in names]


def _say(as_json: bool, figures: dict[str, Any], text: str) -> None:
    click.echo(json.dumps(figures) if as_json else text)
