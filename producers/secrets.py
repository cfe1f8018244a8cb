"""Addresses that may hold a password: text made of one never shows it."""

from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, SecretStr

HIDDEN = "***"


class SecretUrl(SecretStr):
    """A URL whose user information and query may hold secrets.

    `str`, `repr`, formatting, logs and JSON show scheme, host, port and path. `get_secret_value()` gives all of it.
    """

    def _display(self) -> str:
        return shown(self._secret_value)


def shown(url: str) -> str:
    """Return the URL without user information, query and fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return HIDDEN
    # An unquoted slash in a password moves the rest of it into the path.
    path = HIDDEN if "@" in parts.path else parts.path
    netloc = HIDDEN if path == HIDDEN else parts.netloc.rpartition("@")[2]
    return SplitResult(parts.scheme, netloc, path if path != HIDDEN else "", "", "").geturl()


def _checked(schemes: tuple[str, ...], url: SecretUrl) -> SecretUrl:
    text = url.get_secret_value()
    scheme = text.partition("://")[0]
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if scheme not in schemes or not host or any(character.isspace() for character in text):
        raise ValueError(f"must read {' or '.join(f'{one}://[user:password@]host[:port]' for one in schemes)}")
    if "@" in parts.path:
        raise ValueError("a password in a URL is percent-encoded: write %2F for a slash and %40 for an @")
    return url


HttpUrl = Annotated[SecretUrl, AfterValidator(lambda url: _checked(("http", "https"), url))]
SmtpUrl = Annotated[SecretUrl, AfterValidator(lambda url: _checked(("smtp", "smtps"), url))]
