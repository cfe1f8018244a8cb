"""The campaign's ports, as files below the state folder and one mail server."""

from pathlib import Path

from consumers.campaign.adapters.blog import BlogOnDisk
from consumers.campaign.adapters.copywriter import TemplateCopywriter
from consumers.campaign.adapters.deliveries import DeliveriesOnDisk
from consumers.campaign.adapters.drafts import DraftsOnDisk
from consumers.campaign.adapters.outbox import OutboxOnDisk
from consumers.campaign.adapters.pictures import PicturesOnDisk
from consumers.campaign.adapters.post_office import PostOffice
from consumers.campaign.adapters.social_feed import JsonFeedOnDisk
from consumers.campaign.ports import Blog, Copywriter, Deliveries, Drafts, Outbox, Pictures, SocialFeed


def adapters(home: Path, smtp_url: str) -> dict[type, object]:
    """Who stands in for each port, by the port's type. Touches nothing: folders are made when they are needed."""
    return {
        Copywriter: TemplateCopywriter(),
        Drafts: DraftsOnDisk(home),
        Pictures: PicturesOnDisk(home),
        Blog: BlogOnDisk(home),
        SocialFeed: JsonFeedOnDisk(home),
        Outbox: OutboxOnDisk(home, PostOffice(smtp_url)),
        Deliveries: DeliveriesOnDisk(home),
    }
