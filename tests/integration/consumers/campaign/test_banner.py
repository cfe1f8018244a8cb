"""Banners that can be read, whatever is to be written on them."""

from typing import Any

import pytest
from PIL import Image

from consumers.campaign.adapters import lettering as lettering_module
from consumers.campaign.adapters.banner import PALETTES, WHITE, banner
from consumers.campaign.adapters.lettering import fit, lettering
from consumers.campaign.adapters.pictures import SIZES

HEADLINES = {
    "short": "Hi",
    "usual": "Mend it yourself at Pedal & Spoke",
    "long": "An extraordinarily comprehensive announcement " * 5,
    "one word": "Donaudampfschifffahrtsgesellschaft" * 5,
    "accents": "Größe zählt: Łódź, São Tomé, Ærø",
    "cyrillic": "Весенний фестиваль велосипедов",
    "chinese": "春季自行车工作坊开放日",
    "emoji": "\N{BICYCLE} Ride on \N{PARTY POPPER}",
    "symbols": "!!! ??? \N{BICYCLE}",
    "nothing": "",
}


def brightness(colour: tuple[int, int, int]) -> float:
    """The relative luminance of WCAG 2."""
    parts = [value / 255 / 12.92 if value <= 10 else ((value / 255 + 0.055) / 1.055) ** 2.4 for value in colour]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def colours(picture: Image.Image) -> dict[tuple[int, int, int], int]:
    """How many pixels have each colour."""
    found: Any = picture.getcolors(2**24)
    return {colour: count for count, colour in found}


def white_pixels(picture: Image.Image) -> int:
    return sum(count for colour, count in colours(picture).items() if min(colour) > 235)


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("headline", HEADLINES.values(), ids=HEADLINES)
def test_any_headline_makes_a_picture_of_the_right_size(size: tuple[int, int], headline: str) -> None:
    assert banner(size, headline, headline).size == size


@pytest.mark.parametrize("name", ["short", "usual", "long", "one word", "emoji"])
def test_a_headline_is_written_on_every_banner(name: str) -> None:
    for size in SIZES.values():
        assert white_pixels(banner(size, HEADLINES[name], "")) > 200


@pytest.mark.parametrize("name", ["symbols", "nothing"])
def test_where_there_is_nothing_to_read_nothing_is_written(name: str) -> None:
    assert lettering(HEADLINES[name], bold=True) is None
    assert white_pixels(banner(SIZES["blog"], HEADLINES[name], "A summary")) == 0


@pytest.mark.parametrize("number", range(24))
def test_white_letters_have_good_contrast_everywhere_on_the_ground(number: int) -> None:
    # Symbols only, so nothing is written; many of them, so that all grounds and shapes come up.
    ground = banner(SIZES["blog"], "!" * (number + 1), "")
    brightest = max(brightness(colour) for colour in colours(ground))
    assert (1 + 0.05) / (brightest + 0.05) > 4.5


def test_every_palette_begins_with_high_contrast() -> None:
    for palette in PALETTES:
        for colour in palette[:2]:
            red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
            assert (brightness((255, 255, 255)) + 0.05) / (brightness((red, green, blue)) + 0.05) > 7
    assert WHITE == "#ffffff"


def test_the_same_words_give_the_same_picture() -> None:
    pictures = [banner(SIZES["email"], "A headline", "A summary").tobytes() for _ in range(2)]
    assert pictures[0] == pictures[1]


@pytest.mark.parametrize("headline", HEADLINES.values(), ids=HEADLINES)
@pytest.mark.parametrize(("width", "height"), [(300, 80), (500, 400), (900, 700)])
def test_text_stays_within_its_box(headline: str, width: int, height: int) -> None:
    letters = lettering(headline, bold=True)
    if letters is not None:
        fitted = fit(letters, width, height, range(18, 90), most_lines=5)
        assert fitted.height <= height
        assert all(fitted.font.getlength(line) <= width for line in fitted.lines)


def test_what_does_not_fit_ends_in_an_ellipsis() -> None:
    letters = lettering(HEADLINES["long"], bold=True)
    assert letters is not None
    assert fit(letters, 300, 60, range(18, 40), most_lines=2).lines[-1].endswith("\u2026")


def test_words_are_not_broken_where_a_smaller_size_keeps_them_whole() -> None:
    letters = lettering("Extraordinary announcements", bold=True)
    assert letters is not None
    assert fit(letters, 400, 400, range(18, 200), most_lines=4).lines == ["Extraordinary", "announcements"]


def test_without_any_system_font_accents_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lettering_module, "SYSTEM_FONTS", ())
    letters = lettering("Größe zählt: Łódź — São Tomé", bold=True)
    assert letters is not None
    assert letters.text == "Grosse zahlt: Lodz - Sao Tome"


def test_without_any_system_font_another_script_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lettering_module, "SYSTEM_FONTS", (("no-such-font.ttf", "no-such-font.ttf"),))
    assert lettering("Весенний фестиваль 2026", bold=True) is None
