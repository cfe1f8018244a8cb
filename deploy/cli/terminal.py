"""What a terminal or a file that knows less than Unicode gets: the nearest characters it has, never a traceback."""

import codecs
import sys
import unicodedata

FALLBACK = "soma.fallback"
NEAREST = {
    "→": "->", "←": "<-", "↩": "<-", "↻": "~", "▸": ">", "»": ">>", "«": "<<", "✓": "v", "✗": "x", "■": "#", "·": ".",
    "…": "...", "•": "*", "│": "|", "├": "|", "└": "`", "┌": ",", "─": "-", "━": "-",
}  # fmt: skip
# By a part of the character's name.
NEAREST_KINDS = {"BOX DRAWINGS": "+", "DASH": "-", "SINGLE": "'", "DOUBLE": '"', "MULTIPLICATION SIGN": "x"}


def fall_back() -> None:
    """Let stdout and stderr write what they can; repeating it changes nothing."""
    codecs.register_error(FALLBACK, nearest)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors=FALLBACK)


def nearest(error: UnicodeError) -> tuple[str, int]:
    """The codec's error handler: what stands for the characters that cannot be encoded."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    unknown = error.object[error.start : error.end]
    return "".join(_nearest_to(character) for character in unknown), error.end


def speaks_unicode(encoding: str | None) -> bool:
    """Whether an encoding has every character."""
    return (encoding or "").lower().replace("-", "").replace("_", "").startswith("utf")


def _nearest_to(character: str) -> str:
    if character in NEAREST:
        return NEAREST[character]
    # An accent is left out.
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    if plain:
        return plain
    name = unicodedata.name(character, "")
    return next((text for kind, text in NEAREST_KINDS.items() if kind in name), "?")
