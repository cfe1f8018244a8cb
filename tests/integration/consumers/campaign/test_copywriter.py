"""The words of the templates."""

import pytest

from consumers.campaign.adapters.copywriter import TemplateCopywriter
from schemas.campaign import Audience, Brief

pytestmark = pytest.mark.asyncio

FINDINGS = ("The workshop has four stands.", "An hour is enough for a repair.")


def brief(**changes: object) -> Brief:
    given: dict[str, object] = {
        "name": "Mend it yourself",
        "goal": "Come and mend your bike. Bring the old one.",
        "audience": Audience(description="Cyclists of the quarter."),
        "channels": ("blog", "social", "email"),
    }
    return Brief.model_validate(given | changes)


async def test_every_wanted_channel_and_no_other_gets_a_text() -> None:
    copy = await TemplateCopywriter().write(brief(channels=("email", "social")), FINDINGS, ("bike",))
    assert set(copy.texts) == {"email", "social"}
    assert copy.headline == "Mend it yourself"
    assert copy.summary == "Come and mend your bike."


async def test_the_texts_tell_the_goal_and_the_findings() -> None:
    copy = await TemplateCopywriter().write(brief(), FINDINGS, ("bike", "open day", "e-bike"))
    assert copy.texts["blog"].startswith(
        "Come and mend your bike. Bring the old one.\n\n## Good to know\n\n- The workshop"
    )
    assert "- An hour is enough for a repair." in copy.texts["email"]
    assert copy.texts["social"].splitlines()[0] == "Mend it yourself"
    assert copy.texts["social"].splitlines()[-1] == "#bike #openday #ebike"


async def test_without_findings_there_is_no_empty_list() -> None:
    copy = await TemplateCopywriter().write(brief(), (), ())
    assert "Good to know" not in copy.texts["blog"]
    assert "\n\n\n" not in "".join(copy.texts.values())


@pytest.mark.parametrize("name", ["n", "n" * 200, "\N{BICYCLE}" * 200, "two words " * 20])
@pytest.mark.parametrize("goal", ["g", "g" * 4_000, "many words " * 360])
async def test_a_social_text_has_at_most_280_characters(name: str, goal: str) -> None:
    keywords = tuple(f"keyword{number}ofsomelength" for number in range(8))
    copy = await TemplateCopywriter().write(brief(name=name, goal=goal), (), keywords)
    assert 0 < len(copy.texts["social"]) <= 280
    assert len(copy.summary) <= 180


async def test_the_tone_is_heard() -> None:
    formal = await TemplateCopywriter().write(brief(tone="formal"), FINDINGS, ())
    friendly = await TemplateCopywriter().write(brief(tone="friendly"), FINDINGS, ())
    assert formal.texts["email"].startswith("Dear reader,")
    assert friendly.texts["email"].startswith("Hello,")


async def test_template_syntax_in_a_brief_is_only_text() -> None:
    copy = await TemplateCopywriter().write(brief(goal="{{ 7 * 7 }} {% include 'x' %}"), (), ())
    assert "{{ 7 * 7 }} {% include 'x' %}" in copy.texts["blog"]


async def test_a_headline_is_one_line() -> None:
    copy = await TemplateCopywriter().write(brief(name="One\r\ntwo\u2028three\0four"), (), ())
    assert copy.headline == "One two three four"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("می\u200cشود", "می\u200cشود"),
        ("क्\u200dष", "क्\u200dष"),
        ("\N{WOMAN}\u200d\N{MICROSCOPE}", "\N{WOMAN}\u200d\N{MICROSCOPE}"),
        ("Straßen\u00adbahn", "Straßenbahn"),
        ("\ufeffA\u202e name", "A name"),
    ],
)
async def test_a_headline_keeps_its_words_whole(name: str, shown: str) -> None:
    assert (await TemplateCopywriter().write(brief(name=name), (), ())).headline == shown
