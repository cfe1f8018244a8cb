"""File names from keys: a key is any string, a file name must not be."""

import hashlib
import re
import unicodedata

MOST_SLUG_CHARACTERS = 40
_MESSAGE = re.compile(r"\d{4,}-[0-9a-f]{20}\.eml")


def name_of(key: str) -> str:
    """A safe file name for the key: readable by what stands before its last slash, unique by the hash at its end."""
    plain = unicodedata.normalize("NFKD", key.rpartition("/")[0]).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain)[:MOST_SLUG_CHARACTERS].strip("-")
    return f"{slug}-{fingerprint(key)}".lstrip("-")


def fingerprint(text: str) -> str:
    """Twenty hexadecimal digits that stand for the text."""
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def message_name(number: int, recipient: str) -> str:
    """The file name of one recipient's message in the outbox."""
    return f"{number:04}-{fingerprint(recipient)}.eml"


def is_message_name(name: str) -> bool:
    """Whether `message_name` makes such names; other files in an outbox folder are not ours."""
    return _MESSAGE.fullmatch(name) is not None
