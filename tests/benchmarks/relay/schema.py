"""The relay's words."""

import sys

from schemas.message import Command, CompensatingEvent, Completion, Event, Opening, Refusal
from schemas.topics import SagaSchema, schema_of


class StartRelay(Command, type="relay.start"):
    """Begin a relay; with `refuse` its last step says no, with `sleep_seconds` its content takes so long."""

    refuse: bool = False
    sleep_seconds: float = 0.0


class RelayOpened(Opening, type="relay.opened"):
    """The relay runs."""

    refuse: bool = False
    sleep_seconds: float = 0.0


class Researched(Event, type="relay.researched"):
    """The research is done."""


class ResearchDiscarded(CompensatingEvent, type="relay.research.discarded", undoes=Researched):
    """The research is gone."""


class ContentWritten(Event, type="relay.content.written"):
    """The content is written."""


class ContentDiscarded(CompensatingEvent, type="relay.content.discarded", undoes=ContentWritten):
    """The content is gone."""


class AssetsDrawn(Event, type="relay.assets.drawn"):
    """The assets are drawn."""


class AssetsDiscarded(CompensatingEvent, type="relay.assets.discarded", undoes=AssetsDrawn):
    """The assets are gone."""


class BlogPublished(Event, type="relay.blog.published"):
    """The blog has it."""


class BlogWithdrawn(CompensatingEvent, type="relay.blog.withdrawn", undoes=BlogPublished):
    """The blog has it no longer."""


class SocialPublished(Event, type="relay.social.published"):
    """The feed has it."""


class SocialWithdrawn(CompensatingEvent, type="relay.social.withdrawn", undoes=SocialPublished):
    """The feed has it no longer."""


class EmailPrepared(Event, type="relay.email.prepared"):
    """The mail is ready."""


class EmailDiscarded(CompensatingEvent, type="relay.email.discarded", undoes=EmailPrepared):
    """The mail is gone."""


class AnalyticsRefused(Refusal, type="relay.analytics.refused"):
    """Analytics will not count this one."""


class RelayCompleted(Completion, type="relay.completed"):
    """The relay is through."""


SCHEMA: SagaSchema = schema_of("relay", sys.modules[__name__])
