"""Which letters can be drawn, and how they fit into a box."""

import unicodedata
from bisect import bisect_left
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from unicodedata import east_asian_width

from PIL import ImageFont
from PIL.ImageFont import FreeTypeFont

# Looked for in the system's own folders when the bundled font, which knows ASCII only, lacks a letter: bold and plain.
SYSTEM_FONTS = (
    ("DejaVuSans-Bold.ttf", "DejaVuSans.ttf"),
    ("NotoSans-Bold.ttf", "NotoSans-Regular.ttf"),
    ("LiberationSans-Bold.ttf", "LiberationSans-Regular.ttf"),
    ("NotoSansCJK-Bold.ttc", "NotoSansCJK-Regular.ttc"),
    ("Arial Unicode.ttf", "Arial Unicode.ttf"),
)
# Letters that do not come apart into a plain one and an accent.
PLAIN = str.maketrans({
    "\u00df": "ss", "\u00e6": "ae", "\u00c6": "AE", "\u0153": "oe", "\u0152": "OE", "\u00f8": "o", "\u00d8": "O",
    "\u0142": "l", "\u0141": "L", "\u0111": "d", "\u0110": "D", "\u0131": "i", "\u00f0": "d", "\u00fe": "th",
    "\u2013": "-", "\u2014": "-", "\u2212": "-", "\u20ac": "EUR", "\u2022": "-", "\u00b7": "-",
})  # fmt: skip
NO_GLYPH = "\U0010fffd"
PROBE_PIXELS = 32
UNDRAWABLE = {"Cc", "Cf", "Co", "Cs", "Cn", "So", "Sk"}


@dataclass(frozen=True)
class Lettering:
    """A text that can be drawn as it stands, and the font for it, by size; `stroke` is what makes that font bold."""

    text: str
    font: Callable[[int], FreeTypeFont]
    stroke: bool = False


@dataclass(frozen=True)
class Fitted:
    """A text broken into lines that fit."""

    lines: list[str]
    font: FreeTypeFont
    line_height: int

    @property
    def height(self) -> int:
        """How high the lines stand."""
        return self.line_height * len(self.lines)


def lettering(text: str, *, bold: bool) -> Lettering | None:
    """The text with a font that has all its letters; without accents if need be; None if too little could be read."""
    text = "".join(letter for letter in unicodedata.normalize("NFC", text) if not _undrawable(letter))
    text = " ".join(text.split())
    if not any(letter.isalnum() for letter in text):
        return None
    if _has_all(_bundled(PROBE_PIXELS), text):
        return Lettering(text, _bundled, stroke=bold)
    for names in SYSTEM_FONTS:
        font = partial(ImageFont.truetype, names[0 if bold else 1])
        with suppress(OSError):
            if _has_all(font(PROBE_PIXELS), text):
                return Lettering(text, font)
    return _plain(text, bold)


def fit(letters: Lettering, width: int, height: int, sizes: range, most_lines: int) -> Fitted:
    """Break the text into lines in the largest size that fits; in the smallest it is cut off with an ellipsis."""
    smallest = _broken(letters, sizes[0], width)
    # A word is broken only if it must be, or if its script writes no spaces.
    may_break = _breaks_a_word(smallest, letters.text) or any(east_asian_width(one) in "WF" for one in letters.text)

    def fits(fitted: Fitted) -> bool:
        small_enough = fitted.height <= height and len(fitted.lines) <= most_lines
        return small_enough and (may_break or not _breaks_a_word(fitted, letters.text))

    # The first size that is too large, less one.
    largest = bisect_left(sizes, True, lo=1, key=lambda size: not fits(_broken(letters, size, width))) - 1
    fitted = _broken(letters, sizes[largest], width)
    room = max(1, min(most_lines, height // fitted.line_height))
    if len(fitted.lines) <= room:
        return fitted
    last = _cut_off(fitted.lines[room - 1], fitted.font, width)
    return Fitted([*fitted.lines[: room - 1], last], fitted.font, fitted.line_height)


def _breaks_a_word(fitted: Fitted, text: str) -> bool:
    return " ".join(fitted.lines) != text


def _broken(letters: Lettering, size: int, width: int) -> Fitted:
    font = letters.font(size)
    lines: list[str] = []
    line = ""
    for word in letters.text.split(" "):
        longer = f"{line} {word}" if line else word
        if font.getlength(longer) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        line = word
        while font.getlength(line) > width and len(line) > 1:
            head = _head(line, font, width)
            lines.append(head)
            line = line[len(head) :]
    return Fitted([*lines, line], font, round(size * 1.18))


def _head(word: str, font: FreeTypeFont, width: int) -> str:
    low, high = 1, len(word)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if font.getlength(word[:middle]) <= width else (low, middle - 1)
    return word[:low]


def _cut_off(line: str, font: FreeTypeFont, width: int) -> str:
    while line and font.getlength(line + "\u2026") > width:
        line = line[:-1]
    return line.rstrip(" ,;:-.") + "\u2026"


def _bundled(size: int) -> FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, FreeTypeFont):
        raise RuntimeError("this build of Pillow has no FreeType, so it cannot draw letters of a chosen size")
    return font


def _plain(text: str, bold: bool) -> Lettering | None:
    font = _bundled(PROBE_PIXELS)
    apart = unicodedata.normalize("NFKD", text.translate(PLAIN))
    plain = "".join(letter for letter in apart if not unicodedata.combining(letter) and _has_all(font, letter))
    wanted, kept = (sum(letter.isalnum() for letter in some) for some in (text, plain))
    # Less than most of a headline is not a headline any more.
    return Lettering(" ".join(plain.split()), _bundled, stroke=bold) if kept >= 0.8 * wanted else None


def _undrawable(letter: str) -> bool:
    return not letter.isspace() and (unicodedata.category(letter) in UNDRAWABLE or "\ufe00" <= letter <= "\ufe0f")


def _has_all(font: FreeTypeFont, text: str) -> bool:
    missing = _shape(font, NO_GLYPH)
    return all(letter == " " or _shape(font, letter) != missing for letter in set(text))


def _shape(font: FreeTypeFont, letter: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(letter)
    return mask.size, bytes(mask)
