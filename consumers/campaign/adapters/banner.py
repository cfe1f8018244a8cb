"""Draws a banner: a headline that can be read, on a ground with good contrast."""

import hashlib

from PIL import Image, ImageDraw, ImageOps

from consumers.campaign.adapters.lettering import Fitted, Lettering, fit, lettering

# Ground from, ground to, accent. White has a contrast of at least 7 to 1 on each ground, and of 4.5 with shapes on it.
PALETTES = (
    ("#10254b", "#1c4880", "#ffb454"),
    ("#0d3b3a", "#10544e", "#ffd166"),
    ("#3a1448", "#602570", "#ff9fb2"),
    ("#4a1420", "#7d2533", "#ffc078"),
    ("#17202b", "#334152", "#6ee7c8"),
    ("#12331f", "#1c5030", "#f4e285"),
)
WHITE = "#ffffff"
SOFT_WHITE = "#e6e9ef"
FLAT = 300  # pixels of height


def banner(size: tuple[int, int], headline: str, summary: str) -> Image.Image:
    """A picture of this size. The same words give the same picture; words that no font can draw give one without."""
    seed = hashlib.sha256(headline.encode()).digest()
    dark, light, accent = PALETTES[seed[0] % len(PALETTES)]
    picture = _ground(size, dark, light)
    _decorate(picture, seed, accent)
    title = lettering(headline, bold=True)
    if title is not None:
        _write(picture, title, lettering(summary, bold=False), accent)
    return picture


def _ground(size: tuple[int, int], dark: str, light: str) -> Image.Image:
    across = Image.linear_gradient("L").rotate(90).resize(size)
    down = Image.linear_gradient("L").resize(size)
    return ImageOps.colorize(Image.blend(across, down, 0.4), dark, light)


def _decorate(picture: Image.Image, seed: bytes, accent: str) -> None:
    """Rings that leave at the right-hand edge, faint enough to write over."""
    width, height = picture.size
    unit = min(width, height)
    for number, (share, strength) in enumerate(((0.95, 16), (0.62, 18), (0.30, 28))):
        # Drawn twice as large and reduced, which makes smooth edges.
        shape = Image.new("L", (width * 2, height * 2), 0)
        x = width * 2 * (0.86 + seed[1 + number] / 255 * 0.16)
        y = height * 2 * (0.15 + seed[4 + number] / 255 * 0.75)
        radius = unit * share
        ImageDraw.Draw(shape).ellipse((x - radius, y - radius, x + radius, y + radius), fill=strength)
        picture.paste(accent if number == 2 else WHITE, mask=shape.reduce(2))


def _write(picture: Image.Image, title: Lettering, summary: Lettering | None, accent: str) -> None:
    width, height = picture.size
    margin = round(min(width, height) * (0.09 if height > FLAT else 0.13))
    room_across, room_down = width - 2 * margin, height - 2 * margin
    bar = max(4, round(room_down * 0.012))
    gap = round(room_down * 0.06)
    below = None
    # A flat strip has no room for two texts: the headline alone stays readable.
    if summary and height > FLAT:
        below = fit(summary, round(room_across * 0.92), round(room_down * 0.26), _small(height), most_lines=4)
    taken = bar + gap + (gap + below.height if below else 0)
    top = fit(title, room_across, room_down - taken, _large(height), most_lines=3 if height <= FLAT else 6)
    y = margin + max(0, room_down - taken - top.height) // 2
    draw = ImageDraw.Draw(picture)
    draw.rounded_rectangle((margin, y, margin + round(room_across * 0.12), y + bar), bar // 2, fill=accent)
    y = _lines(draw, margin, y + bar + gap, top, WHITE, stroke=title.stroke)
    if below:
        _lines(draw, margin, y + gap, below, SOFT_WHITE, stroke=False)


def _lines(draw: ImageDraw.ImageDraw, x: int, y: int, text: Fitted, colour: str, *, stroke: bool) -> int:
    # The bundled font has one weight; a stroke makes a headline of it.
    width = round(text.line_height / 60) if stroke else 0
    for line in text.lines:
        draw.text((x, y + text.line_height / 2), line, fill=colour, font=text.font, anchor="lm", stroke_width=width)
        y += text.line_height
    return y


def _large(height: int) -> range:
    low, high = (0.12, 0.26) if height <= FLAT else (0.042, 0.16)
    return range(round(height * low), round(height * high))


def _small(height: int) -> range:
    return range(round(height * 0.034), round(height * 0.05))
