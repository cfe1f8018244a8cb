"""File names from keys: a key is any string, a file name must not be."""

import hashlib
import re
import unicodedata

MOST_SLUG_CHARACTERS = 40


def name_of(key: str) -> str:
    """A safe file name for the key: readable by what stands before its last slash, unique by the hash at its end."""
    plain = unicodedata.normalize("NFKD", key.rpartition("/")[0]).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain)[:MOST_SLUG_CHARACTERS].strip("-")
    return f"{slug}-{fingerprint(key)}".lstrip("-")


def fingerprint(text: str) -> str:
    """Twenty hexadecimal digits that stand for the text."""
    return hashlib.sha256(text.encode()).hexdigest()[:20]
