"""What is wrong with the way to a server, below its own protocol: its name, its port, TLS."""

import socket
import ssl

from producers.errors import ConnectionFailed, NotReachable, TlsFailed, TlsMissing

EXPIRED, NOT_YET_VALID, OTHER_NAME, OTHER_ADDRESS = 10, 9, 62, 64
UNKNOWN_ISSUER = (2, 18, 19, 20, 21)
BREAKS_OFF = "breaks off the TLS handshake: it speaks no TLS, or no version of ours"


def reach(
    server: str, host: str, port: int, tls: ssl.SSLContext | None, timeout_seconds: float, remedy: str, ca: str
) -> None:
    """Connect once, with the TLS handshake where `tls` is given, and let go again; blocks.

    `server` names it in the error, `remedy` helps where it does not answer, `ca` is the setting that names the CA file.
    Raises `NotReachable` or `TlsFailed`.
    """
    try:
        with socket.create_connection((host, port), timeout=timeout_seconds) as plain:
            if tls is not None:
                with tls.wrap_socket(plain, server_hostname=host):
                    pass
    except ssl.SSLError as error:
        raise tls_failure(server, host, error, ca, "check the port and the protocol") from error
    except (OSError, UnicodeError) as error:
        if tls is not None and is_broken_off(error):
            raise TlsMissing(server, BREAKS_OFF, "check the port and the protocol") from error
        raise network_failure(server, host, error, timeout_seconds, remedy) from error


def speaks_tls(host: str, port: int, timeout_seconds: float) -> bool:
    """Whether a TLS handshake succeeds there, whatever the certificate; blocks."""
    anyone = ssl.create_default_context()
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection((host, port), timeout=timeout_seconds) as plain, anyone.wrap_socket(plain):
            return True
    except OSError:
        return False


def is_broken_off(error: Exception) -> bool:
    """Whether a connection was there and was reset: what speaks no TLS does so at the first bytes. PURE."""
    return isinstance(error, ConnectionError) and not isinstance(error, ConnectionRefusedError)


def tls_failure(server: str, host: str, error: ssl.SSLError, ca: str, check: str) -> ConnectionFailed:
    """The error of a handshake in words; `check` is the remedy where the server speaks no TLS. PURE."""
    if not isinstance(error, ssl.SSLCertVerificationError):
        return TlsMissing(server, BREAKS_OFF, check)
    if error.verify_code == EXPIRED:
        return TlsFailed(server, "has a certificate that has expired", "renew the server's certificate")
    if error.verify_code == NOT_YET_VALID:
        return TlsFailed(server, "has a certificate that is not valid yet", "check both clocks")
    if error.verify_code in (OTHER_NAME, OTHER_ADDRESS):
        return TlsFailed(
            server,
            f"has a certificate that is not made out to {host}",
            "connect by a name that stands in the certificate, or add this one to its subjectAltName",
        )
    if error.verify_code in UNKNOWN_ISSUER:
        return TlsFailed(
            server,
            f"has a certificate of a CA that is not trusted ({error.verify_message})",
            f"name its CA file in {ca}",
        )
    return TlsFailed(
        server, f"has a certificate that is not accepted ({error.verify_message})", "check the certificate"
    )


def network_failure(server: str, host: str, error: Exception, timeout_seconds: float, remedy: str) -> ConnectionFailed:
    """The operating system's refusal in words. PURE."""
    if isinstance(error, socket.gaierror | UnicodeError):
        return NotReachable(server, f"is not reachable: the name {host} cannot be resolved", f"check it; {remedy}")
    if isinstance(error, ConnectionRefusedError):
        return NotReachable(server, "is not reachable: the connection is refused", remedy)
    if isinstance(error, TimeoutError):
        return NotReachable(server, f"is not reachable: no answer within {timeout_seconds:g} s", remedy)
    why = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
    return NotReachable(server, f"is not reachable: {why}", remedy)
