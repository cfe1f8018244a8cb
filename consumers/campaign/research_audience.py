"""Find out what the sources say that matters to this audience."""

import asyncio
import re
from collections import Counter

from consumers.runtime.steps import on
from schemas.campaign import AudienceResearched, Brief, CampaignOpened

MOST_KEYWORDS = 8
MOST_FINDINGS = 5
MOST_CHARACTERS_IN_A_FINDING = 320

# The commonest words of some languages: frequent, and about nothing.
STOP_WORDS = {
    "en": """a about after all also am an and any are as at be because been before but by can could did do does each
        even every for from had has have he her here him his how i if in into is it its just like made make many may me
        more most much must my new no not now of off on one only or other our out over own people said say same she
        should so some such than that the their them then there these they this those through to too two under up us use
        very was way we well were what when where which while who why will with without would you your""",
    "de": """aber als am auch auf aus bei bin bis das dass dem den der des die doch du durch ein eine einem einen einer
        eines er es für habe haben hat ich ihr ihre im in ist ja kann mehr mit nach nicht noch nur oder ohne sehr sein
        sich sie sind so über um und uns unser unsere vom von vor war was wenn wer wie wir wird zu zum zur""",
    "fr": """au aux avec ce ces cette comme dans de des du elle en est et il ils je la le les leur lui mais même ne nos
        notre nous on ou où par pas plus pour qu que qui sa sans se ses son sont sur tous tout très un une vos votre""",
    "es": """al como con cuando de del desde el ella en entre era es esta este hay la las lo los más mi muy nos o para
        pero por que se sin sobre son su sus también una uno y ya""",
    "it": """agli alla anche che chi con da dal dalla dei del della delle di e gli ha il la le lo ma nel nella non per
        più si sono sul tra un una""",
    "pt": "as ao com dos da das do em foi mais mas na nas não no nos os ou pela pelo sem seu sua um uma",
    "nl": """aan bij dan dat de die dit een er het hij hun ik ja je kan maar met naar niet of om onze ook op te toch tot
        uit van veel voor was wat we wel werd wij ze zich zij zijn zo""",
}
SENTENCE_END = re.compile(r"(?<=[.!?\u2026])\s+|(?<=[\u3002\uff01\uff1f])|\n\s*\n")
WORD = re.compile(r"[^\W\d_][\w'\u2019-]*")


@on(CampaignOpened)
async def research_audience(opened: CampaignOpened) -> AudienceResearched:
    """Take the most frequent words and the most telling sentences from the sources, or from the goal if there are none.

    The same brief always gives the same result, and nothing is kept, so it may be called again.
    """
    # In a thread: a brief may bring a quarter of a megabyte of text.
    keywords, findings = await asyncio.to_thread(_read, opened)
    return AudienceResearched(saga_id=opened.saga_id, findings=findings, keywords=keywords)


def _read(brief: Brief) -> tuple[tuple[str, ...], tuple[str, ...]]:
    interest = frozenset(_words(f"{brief.name} {brief.goal} {brief.audience.description}"))
    sentences = list(dict.fromkeys(one for text in brief.sources or (brief.goal,) for one in _sentences(text)))
    words = [_words(sentence) for sentence in sentences]
    stop_words = frozenset(" ".join(STOP_WORDS.values()).split())
    frequency = Counter(word for some in words for word in some if word not in stop_words)
    keywords = sorted(frequency, key=lambda word: (-frequency[word], word not in interest, word))
    weights = {word: count * (4 if word in interest else 1) for word, count in frequency.items()}
    best = sorted(range(len(sentences)), key=lambda place: (-_telling(words[place], weights), place))
    # Told in the order of the sources, not of their rank: neighbours were written to follow each other.
    return tuple(keywords[:MOST_KEYWORDS]), tuple(sentences[place] for place in sorted(best[:MOST_FINDINGS]))


def _telling(words: list[str], weights: dict[str, int]) -> float:
    # Divided by the length, or the longest would always win; plus a constant, or the shortest would.
    return sum(weights.get(word, 0) for word in set(words)) / (len(words) + 8)


def _sentences(text: str) -> list[str]:
    flat = (" ".join(part.split()) for part in SENTENCE_END.split(text))
    return [_shortened(sentence) for sentence in flat if WORD.search(sentence)]


def _shortened(sentence: str) -> str:
    if len(sentence) <= MOST_CHARACTERS_IN_A_FINDING:
        return sentence
    head = sentence[: MOST_CHARACTERS_IN_A_FINDING - 1]
    return (head.rpartition(" ")[0] or head) + "…"


def _words(text: str) -> list[str]:
    return [word for found in WORD.findall(text.casefold()) if len(word := found.strip("'\u2019-_")) > 1]
