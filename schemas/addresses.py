"""Which mail addresses are accepted, and the ASCII form under which they are mailed to.

The part before the @ is a dot-atom of RFC 5322 in ASCII, of at most 64 characters: no quotes, comments or spaces.
Letters outside ASCII are refused there, since they would need SMTPUTF8 on every mail server on the way.
The part after the @ is a host name. An international one is turned into its ASCII form by IDNA 2003, the standard
library's; the four characters that IDNA 2008 reads as another name are refused. Address literals are refused.
"""

import re
from contextlib import suppress

ADDRESS_CHARACTERS_MAX = 254
LOCAL_CHARACTERS_MAX = 64

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
# Sharp s, final sigma and the two joiners: IDNA 2003 drops or replaces them, which names another host.
_AMBIGUOUS = "\u00df\u1e9e\u03c2\u200c\u200d"


def mailbox(address: str) -> str:
    """The address in ASCII, its host in lower case; raises `ValueError`, with the reason, for what is not accepted."""
    local, sign, host = address.rpartition("@")
    if not sign:
        raise ValueError("an address is written name@host")
    if len(local) > LOCAL_CHARACTERS_MAX:
        raise ValueError(f"the part before the @ has more than {LOCAL_CHARACTERS_MAX} characters")
    if not local.isascii():
        raise ValueError("the part before the @ has characters outside ASCII, which not every mail server takes")
    if _LOCAL.fullmatch(local) is None:
        raise ValueError(
            f"the part before the @ may have letters, digits, !#$%&'*+/=?^_`{{|}}~- and dots between: {local!r}"
        )
    mailed = f"{local}@{_ascii_host(host)}"
    if len(mailed) > ADDRESS_CHARACTERS_MAX:
        raise ValueError(f"the address has more than {ADDRESS_CHARACTERS_MAX} characters")
    return mailed


def _ascii_host(host: str) -> str:
    if any(character in host for character in _AMBIGUOUS):
        raise ValueError(f"the host {host!r} has a character that mail servers read in two ways: write it as xn--...")
    ascii_host = ""
    # The codec takes other dots for dots, passes over the last one, and drops what cannot be seen.
    if len(host) <= ADDRESS_CHARACTERS_MAX and host.isprintable() and not re.search(r"[\u3002\uff0e\uff61]|\.$", host):
        with suppress(UnicodeError):
            ascii_host = host.encode("idna").decode().lower()
    if _HOST.fullmatch(ascii_host) is None:
        raise ValueError(f"the part after the @ is no host name: {host[:100]!r}")
    if ascii_host.rpartition(".")[2].isdigit():
        raise ValueError(f"the part after the @ is an IP address, not a host name: {host!r}")
    return ascii_host
