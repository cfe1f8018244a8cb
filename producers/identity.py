"""PURE: which message this is. A command is its source and its id together (CloudEvents); an event is its id alone.

Two publishers may count their commands from 1. An event's id needs no source: it follows from what caused it.
"""

from hashlib import blake2b

KEY_CHARACTERS_MAX = 500


def command_key(message_id: str, source: str) -> str:
    """The command's identity as one text: `<id>@<source>`, or the id alone where it names no source.

    No two commands have the same one: an `@` of the id is escaped. A long one is replaced by its hash.
    """
    key = message_id
    if "@" in key or "%" in key:
        key = key.replace("%", "%25").replace("@", "%40")
    if source:
        key = f"{key}@{source}"
    return key if len(key) <= KEY_CHARACTERS_MAX else digest(key)


def fact_id(saga_id: str, wire_type: str, source: str, cause: str) -> str:
    """The id of what is said: the same in every life of the speaker, so that saying it twice would show."""
    return digest(saga_id, wire_type, source, cause)


def digest(*parts: str) -> str:
    """A text of 32 characters that stands for these."""
    return blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()
