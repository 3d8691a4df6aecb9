"""`trackbridge cert`: certificates for the links between sites."""

from __future__ import annotations

import json
import os
import re
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import trustme

from controller.links.tls import system_name
from tools.bad_input import BadInput

SYSTEM = re.compile(r"([0-9A-Fa-f]{4}):(?:[0-9A-Fa-f]{2}:)?([0-9A-Z]{1,12})")
AUTHORITY, AUTHORITY_KEY = "authority.pem", "authority.key"


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.argument("systems", nargs=-1, required=True)
@click.option("--days", default=825, show_default=True, type=click.IntRange(1, 36500), help="How long they are valid.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def cert(folder: Path, systems: tuple[str, ...], days: int, as_json: bool) -> None:
    """Make certificates for SYSTEMS, each SSID:SERIAL (or SSID:LSS:SERIAL), in FOLDER.

    They are issued by the authority in FOLDER, which is made when there is none. Keep its key where no system is; give
    each system its own file and authority.pem.
    """
    named = [_parsed(system) for system in systems]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        authority = _authority(folder / AUTHORITY, folder / AUTHORITY_KEY)
        made = {f"{ssid:04X}:{serial}": str(_issue(authority, folder, ssid, serial, days)) for ssid, serial in named}
    except (OSError, ValueError) as error:
        raise BadInput(f"{folder}: {error}") from error
    if as_json:
        click.echo(json.dumps({"authority": str(folder / AUTHORITY), "certificates": made}, indent=2))
        return
    click.echo(f"authority            {folder / AUTHORITY}")
    for system, path in made.items():
        click.echo(f"{system:<20} {path}")


def _parsed(system: str) -> tuple[int, str]:
    match = SYSTEM.fullmatch(system)
    if match is None:
        raise BadInput(f"{system!r} is not SSID:SERIAL, such as 0100:000000012345")
    return int(match[1], 16), match[2].rjust(12, "0")


def _authority(certificate: Path, key: Path) -> trustme.CA:
    """The authority of these files; a new one where neither is there. Raises BadInput.

    Half of one is not made whole: a new authority would not be that of the certificates which systems have.
    """
    if certificate.exists() != key.exists():
        here, missing = (certificate, key) if certificate.exists() else (key, certificate)
        raise BadInput(f"{here} is there and {missing} is not: bring it, or name another folder for a new authority")
    if certificate.exists():
        return _read_authority(certificate, key)
    authority = trustme.CA(organization_name="Trackbridge", organization_unit_name="links between sites")
    _write_secret(key, authority.private_key_pem.bytes())
    certificate.write_bytes(authority.cert_pem.bytes())
    return authority


def _read_authority(certificate: Path, key: Path) -> trustme.CA:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        why = (error.reason or str(error)).replace("_", " ").lower()
        raise BadInput(f"{certificate}, {key}: not a certificate and its own key: {why}") from error
    return trustme.CA.from_pem(certificate.read_bytes(), key.read_bytes())


def _issue(authority: trustme.CA, folder: Path, ssid: int, serial: str, days: int) -> Path:
    """The certificate of one system and its key, in one file."""
    now = datetime.now(UTC)
    issued = authority.issue_cert(
        system_name(ssid, serial), not_before=now - timedelta(hours=1), not_after=now + timedelta(days=days)
    )
    path = folder / f"{ssid:04X}-{serial}.pem"
    _write_secret(path, issued.private_key_and_cert_chain_pem.bytes())
    return path


def _write_secret(path: Path, data: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
