"""TLS between sites: both ends show a certificate of one authority, and each looks whether it is the other system's.

A certificate is issued for one storage system: its subject alternative name is SERIAL.SSID.trackbridge, and a port
names the system that it expects. So a stranger is refused whatever it knows of the network, and so is a known system at
a port that leads to another. What the link itself asks for behind that (serial, SSID, LSS) is asked for all the same.
"""

import ssl

import trio

from controller.config import ConfigError, TlsConfig

HANDSHAKE_TIMEOUT_S = 10.0


class Refused(Exception):
    """The other end of a connection is not who it has to be; one line that says why."""


def system_name(ssid: int, serial: str) -> str:
    """The name of a storage system in its certificate. Names of certificates do not tell capitals."""
    return f"{serial}.{ssid:04x}.trackbridge".lower()


class Tls:
    """What one port needs. Raises ConfigError when a file cannot be used."""

    def __init__(self, config: TlsConfig) -> None:
        self._expected = system_name(config.peer_ssid, config.peer_serial)
        self._server = self._context(ssl.PROTOCOL_TLS_SERVER, config)
        self._client = self._context(ssl.PROTOCOL_TLS_CLIENT, config)

    def _context(self, protocol: int, config: TlsConfig) -> ssl.SSLContext:
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False  # the name is a system's, not a host's: `_check_name`
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_cert_chain(config.certificate)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"tls.certificate: {config.certificate}: {_text(error)}") from error
        try:
            context.load_verify_locations(config.authority)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"tls.authority: {config.authority}: {_text(error)}") from error
        return context

    async def secure(self, stream: trio.abc.Stream, *, opened: bool) -> trio.abc.Stream:
        """The stream behind TLS, its other end known. Owns `stream`. Raises Refused."""
        context = self._client if opened else self._server
        secured = trio.SSLStream(stream, context, server_side=not opened)
        try:
            with trio.fail_after(HANDSHAKE_TIMEOUT_S):
                await secured.do_handshake()
            self._check_name(secured.getpeercert())
        except BaseException as error:
            await trio.aclose_forcefully(stream)
            if isinstance(error, trio.TooSlowError):
                raise Refused(f"no TLS handshake within {HANDSHAKE_TIMEOUT_S:.0f} s") from error
            if isinstance(error, trio.BrokenResourceError):
                raise Refused(_text(error.__cause__ or error)) from error
            raise
        return secured

    def _check_name(self, certificate: dict[str, object]) -> None:
        names = [name for kind, name in certificate.get("subjectAltName", ()) if kind == "DNS"]  # type: ignore[attr-defined]
        if self._expected not in names:
            raise Refused(f"the certificate is for {', '.join(names) or 'nobody'}, not for {self._expected}")


def _text(error: BaseException) -> str:
    """What is wrong, in a few words: the TLS library tells the line of its source too."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"no TLS: {(error.reason or str(error)).replace('_', ' ').lower()}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or "the connection ended within the handshake"
