"""The campaign saga: from a brief to posts, mail and figures, with a person's yes in between.

In order: the door opens the campaign; the studio researches the audience, drafts the content and designs the assets;
the door asks for a review and hears the answer, or lets it expire. Once approved, distribution publishes on the blog
and the social feed and prepares the email, all three in parallel; when all have spoken, the door clears the delivery,
and from then on nothing can be cancelled; the mail is sent; analytics counts what arrived, and that completes it.
How each effect is undone stands in `compensations/campaign.py`.
"""

from consumers.runtime.steps import Flow, Participant

from .approve_campaign import approve_campaign
from .ask_for_review import ask_for_review
from .cancel_campaign import cancel_campaign
from .clear_delivery import clear_delivery
from .collect_delivery import collect_delivery
from .design_assets import design_assets
from .draft_content import draft_content
from .expire_review import expire_review
from .open_campaign import open_campaign
from .prepare_email import prepare_email
from .publish_blog import publish_blog
from .publish_social import publish_social
from .reject_campaign import reject_campaign
from .research_audience import research_audience
from .send_email import send_email

FLOW = Flow(
    "campaign",
    participants=(
        Participant(
            "campaign.review",
            steps=(
                open_campaign,
                ask_for_review,
                approve_campaign,
                reject_campaign,
                cancel_campaign,
                expire_review,
                clear_delivery,
            ),
            door=True,
        ),
        Participant("campaign.studio", steps=(research_audience, draft_content, design_assets)),
        Participant("campaign.distribution", steps=(publish_blog, publish_social, prepare_email, send_email)),
        Participant("campaign.analytics", steps=(collect_delivery,)),
    ),
)
