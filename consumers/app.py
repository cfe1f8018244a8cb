"""The composition root: which sagas there are. A new one is one line here."""

from compensations import campaign as undo_campaign
from consumers import campaign
from consumers.campaign.adapters import adapters as campaign_adapters
from consumers.kinds import SagaKind, saga_kind
from schemas.topics import catalogue


def sagas() -> tuple[SagaKind, ...]:
    """Every saga kind this hub runs."""
    schemas = catalogue()
    return (
        saga_kind(
            campaign.FLOW,
            undo_campaign.UNDOS,
            schemas["campaign"],
            lambda settings: campaign_adapters(
                settings.home, settings.smtp.get_secret_value() if settings.smtp else ""
            ),
        ),
    )
