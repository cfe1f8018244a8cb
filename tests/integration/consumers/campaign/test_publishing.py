"""Drafts, pictures, the blog and the social feed on a real disk."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from PIL import Image
from prometheus_client import CollectorRegistry

from consumers.campaign.adapters.blog import BlogOnDisk
from consumers.campaign.adapters.deliveries import DeliveriesOnDisk
from consumers.campaign.adapters.drafts import DraftsOnDisk
from consumers.campaign.adapters.pictures import PicturesOnDisk
from consumers.campaign.adapters.social_feed import JsonFeedOnDisk
from consumers.campaign.ports import AlreadyUndone, Copy, Post, PostDeclined
from consumers.runtime.breakers import guarded
from consumers.runtime.metrics import StandingFigures

from .conftest import NOW, files_of

pytestmark = pytest.mark.asyncio

KEY = "c1/0123"
COPY = Copy("A headline", "A summary", {"blog": "Long.", "social": "Short."})
DERIVED = {"site/index.html", "site/feed.json"}


@dataclass(frozen=True)
class Adapter:
    """What all adapters that make something have in common."""

    make: Callable[[str], Awaitable[object]]
    take_back: Callable[[str], Awaitable[None]]


@pytest.fixture(params=["drafts", "pictures", "blog", "social"])
def adapter(request: pytest.FixtureRequest, home: Path, post: Post) -> Adapter:
    if request.param == "drafts":
        drafts = DraftsOnDisk(home)
        return Adapter(lambda key: drafts.save(key, COPY), drafts.discard)
    if request.param == "pictures":
        pictures = PicturesOnDisk(home)
        return Adapter(lambda key: pictures.draw(key, "A headline", "A summary", ("email",)), pictures.remove)
    wall = BlogOnDisk(home) if request.param == "blog" else JsonFeedOnDisk(home)
    return Adapter(lambda key: wall.publish(key, post), wall.unpublish)


async def test_twenty_calls_at_once_with_one_key_make_one_thing(home: Path, adapter: Adapter) -> None:
    await adapter.make(KEY)
    once = files_of(home)
    results = await asyncio.gather(*(adapter.make("c2/0123") for _ in range(20)))
    assert len({str(result) for result in results}) == 1
    assert len(files_of(home)) == 2 * len(once - DERIVED) + len(once & DERIVED)


async def test_after_the_undo_nothing_remains_and_nothing_can_be_made(home: Path, adapter: Adapter) -> None:
    await adapter.make(KEY)
    await adapter.take_back(KEY)
    await adapter.take_back(KEY)
    assert files_of(home) <= DERIVED
    with pytest.raises(AlreadyUndone):
        await adapter.make(KEY)
    assert files_of(home) <= DERIVED


async def test_undoing_what_was_never_made_is_a_success_and_lasts(home: Path, adapter: Adapter) -> None:
    await adapter.take_back(KEY)
    with pytest.raises(AlreadyUndone):
        await adapter.make(KEY)
    assert files_of(home) <= DERIVED


async def test_making_and_undoing_at_once_leaves_nothing(home: Path, adapter: Adapter) -> None:
    calls = [call for _ in range(10) for call in (adapter.make(KEY), adapter.take_back(KEY))]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(result) for result in results if isinstance(result, BaseException)} <= {AlreadyUndone}
    assert files_of(home) <= DERIVED


async def test_a_repeated_draft_is_the_first_one(home: Path) -> None:
    drafts = DraftsOnDisk(home)
    first = await drafts.save(KEY, COPY)
    again = await drafts.save(KEY, Copy("Other", "Other", {"blog": "Other."}))
    assert again == first
    assert first.copy == COPY
    assert (home / first.path / "blog.md").read_text() == "Long."
    assert (home / first.path / "social.txt").read_text() == "Short."


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b"{}", b"[" * 100_000])
async def test_a_damaged_draft_is_named(home: Path, content: bytes) -> None:
    drafts = DraftsOnDisk(home)
    saved = await drafts.save(KEY, COPY)
    (home / saved.path / "copy.json").write_bytes(content)
    with pytest.raises(ValueError, match=f"{saved.path}/copy.json is damaged: "):
        await drafts.save(KEY, COPY)
    # It concerns its own campaign alone, and can be discarded.
    await drafts.save("c2/k", COPY)
    await drafts.discard(KEY)
    assert not (home / saved.path).exists()


async def test_each_channel_gets_a_picture_of_its_size(home: Path) -> None:
    banners = await PicturesOnDisk(home).draw(KEY, "A headline", "A summary", ("blog", "social", "email"))
    sizes = {}
    for channel, path in banners.items():
        with Image.open(home / path) as picture:
            sizes[channel] = picture.size
    assert sizes == {"blog": (1200, 630), "social": (1080, 1080), "email": (600, 200)}


async def test_a_post_is_a_page_with_its_banner_and_stands_in_the_index(home: Path, post: Post) -> None:
    url = await BlogOnDisk(home).publish(KEY, replace(post, text="Hello.\n\n## Why\n\n- one\n- two"))
    page = (home / url).read_text()
    assert '<h1 dir="auto">A title</h1>' in page
    assert "<h2>Why</h2>" in page
    assert page.count("<li>") == 2
    assert (home / url).with_name("banner.png").read_bytes() == (home / post.banner).read_bytes()
    assert url.removeprefix("site/") in (home / "site" / "index.html").read_text()
    assert await DeliveriesOnDisk(home).pages(url) == 1


async def test_an_entry_stands_in_a_valid_feed(home: Path, post: Post) -> None:
    url = await JsonFeedOnDisk(home).publish(KEY, post)
    feed = json.loads((home / "site" / "feed.json").read_text())
    assert feed["version"] == "https://jsonfeed.org/version/1.1"
    (item,) = feed["items"]
    assert url == f"site/feed.json#{item['id']}"
    assert item["content_text"] == post.text
    assert item["date_published"] == NOW.isoformat()
    assert (home / "site" / item["image"]).is_file()
    assert await DeliveriesOnDisk(home).entries(url) == 1


async def test_many_posts_published_and_taken_down_at_once_leave_the_right_index(home: Path, post: Post) -> None:
    # Two sites over one folder, as two workers have them.
    sites = BlogOnDisk(home), BlogOnDisk(home)

    async def come_and_go(number: int) -> None:
        key = f"saga-{number:02}/k"
        await sites[number % 2].publish(key, replace(post, title=f"Title {number:02}."))
        if number % 3 == 0:
            await sites[(number + 1) % 2].unpublish(key)

    await asyncio.gather(*(come_and_go(number) for number in range(30)))
    index = (home / "site" / "index.html").read_text()
    listed = [number for number in range(30) if f"Title {number:02}." in index]
    assert listed == [number for number in range(30) if number % 3]


async def test_what_has_gone_is_not_counted_as_delivered(home: Path, post: Post) -> None:
    blog, feed, deliveries = BlogOnDisk(home), JsonFeedOnDisk(home), DeliveriesOnDisk(home)
    assert await deliveries.entries("site/feed.json#nothing") == 0
    page, entry = await blog.publish(KEY, post), await feed.publish(KEY, post)
    await blog.unpublish(KEY)
    await feed.unpublish(KEY)
    assert (await deliveries.pages(page), await deliveries.entries(entry)) == (0, 0)


async def test_what_others_write_into_the_feed_does_not_hide_an_entry(home: Path, post: Post) -> None:
    url = await JsonFeedOnDisk(home).publish(KEY, post)
    feed = home / "site" / "feed.json"
    told = json.loads(feed.read_text())
    feed.write_text(json.dumps(told | {"items": [None, {"title": "no id"}, *told["items"]]}))
    assert await DeliveriesOnDisk(home).entries(url) == 1
    feed.write_text("[]")
    assert await DeliveriesOnDisk(home).entries(url) == 0


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000])
async def test_a_feed_that_cannot_be_read_is_told_with_the_remedy(home: Path, post: Post, content: bytes) -> None:
    url = await JsonFeedOnDisk(home).publish(KEY, post)
    (home / "site" / "feed.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"site/feed\.json is no JSON .* the next publication"):
        await DeliveriesOnDisk(home).entries(url)
    await JsonFeedOnDisk(home).publish("c2/k", post)
    assert await DeliveriesOnDisk(home).entries(url) == 1


@pytest.mark.parametrize("rule", ["miracle cure", "MIRACLE  cure", "\ufeffmiracle cure", "\n\n  Miracle Cure  \n"])
@pytest.mark.parametrize(("wall", "channel"), [(BlogOnDisk, "blog"), (JsonFeedOnDisk, "social")])
async def test_what_the_house_rules_forbid_is_declined_and_leaves_nothing(  # type: ignore[no-untyped-def]
    home: Path, post: Post, wall, channel: str, rule: str
) -> None:
    (home / "rules").mkdir()
    (home / "rules" / f"{channel}.txt").write_text(rule, "utf-8")
    with pytest.raises(PostDeclined, match=r"(?i)miracle\s+cure"):
        await wall(home).publish(KEY, replace(post, text="Our Miracle\ncure!"))
    assert files_of(home) == {f"rules/{channel}.txt"}
    await wall(home).publish(KEY, replace(post, text="No miracle, no cure; miracle cures neither."))


async def test_a_rule_forbids_whole_words_and_chinese_ones_anywhere(home: Path, post: Post) -> None:
    (home / "rules").mkdir()
    (home / "rules" / "blog.txt").write_text("ass\n自行车\n", "utf-8")
    await BlogOnDisk(home).publish(KEY, replace(post, text="A class of its own."))
    with pytest.raises(PostDeclined, match="自行车"):
        await BlogOnDisk(home).publish("c2/k", replace(post, text="春季自行车工作坊"))


async def test_a_rule_made_after_the_post_does_not_decline_a_repeated_call(home: Path, post: Post) -> None:
    url = await BlogOnDisk(home).publish(KEY, post)
    (home / "rules").mkdir()
    (home / "rules" / "blog.txt").write_text("title")
    assert await BlogOnDisk(home).publish(KEY, post) == url


async def test_nothing_that_is_written_can_break_out_of_the_page(home: Path, post: Post) -> None:
    evil = '<script>alert("x")</script>"\'><img src=x onerror=alert(1)>'
    url = await BlogOnDisk(home).publish(KEY, Post(evil, evil, f"{evil}\n\n## {evil}\n\n- {evil}", post.banner, NOW))
    for page in (home / url, home / "site" / "index.html"):
        text = page.read_text()
        assert "<script" not in text
        assert "<img src=x" not in text
        assert '">' not in text.split("&lt;script")[1][:40]


async def test_a_missing_banner_fails_and_leaves_nothing(home: Path, post: Post) -> None:
    with pytest.raises(FileNotFoundError):
        await BlogOnDisk(home).publish(KEY, replace(post, banner="pictures/given/none.png"))
    assert files_of(home) == set()


@pytest.mark.parametrize(("wall", "place"), [(BlogOnDisk, "site/posts"), (JsonFeedOnDisk, "site/entries")])
async def test_a_folder_that_cannot_be_read_stops_neither_publication_nor_its_undo(  # type: ignore[no-untyped-def]
    home: Path, post: Post, wall, place: str
) -> None:
    # Given a published folder whose note was cut off,
    first, second = wall(home), wall(home)
    await first.publish("c1/k", post)
    (damaged,) = (home / place).iterdir()
    (damaged / "entry.json").write_bytes((damaged / "entry.json").read_bytes()[:20])
    # when others come and go, on a worker that has not read the folder before,
    await second.publish("c2/k", post)
    await second.publish("c3/k", post)
    await second.unpublish("c2/k")
    # then the list shows what there is, and the metric counts what it leaves out,
    listed = (home / "site" / ("index.html" if wall is BlogOnDisk else "feed.json")).read_text()
    names = [folder.name for folder in (home / place).iterdir() if folder.name in listed]
    assert len(names) == 1 and damaged.name not in names
    registry = CollectorRegistry()
    _, breakers = guarded({wall: second}, time.time)
    registry.register(StandingFigures(list, breakers, {}))
    told = {"dependency": wall.__name__}
    assert registry.get_sample_value("soma_dependency_passed_over", told) == 1
    # and the damaged one itself can be taken down.
    await second.unpublish("c1/k")
    assert not damaged.exists()
    assert registry.get_sample_value("soma_dependency_passed_over", told) == 0
