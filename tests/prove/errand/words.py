"""The words of an errand: buy, wrap, hire a rider and book a slot at the same time, deliver."""

import sys
from typing import Literal

from schemas.message import Command, CompensatingEvent, Completion, Event, FailingEnd, Opening, Refusal
from schemas.topics import SagaSchema, schema_of

Wish = Literal["plain", "slow", "refused", "broken", "cancelled"]


class StartErrand(Command, type="errand.start"):
    """Begin. `wish` says what becomes of the errand: it runs, dawdles, is refused, breaks, or is called off."""

    wish: Wish = "plain"


class CancelErrand(Command, type="errand.cancel"):
    """Call it off."""


class ErrandOpened(Opening, type="errand.opened"):
    """The errand exists."""

    wish: Wish = "plain"


class GoodsBought(Event, type="errand.goods.bought"):
    """The first effect."""


class GoodsReturned(CompensatingEvent, type="errand.goods.returned", undoes=GoodsBought):
    """Takes the first effect back."""


class GoodsWrapped(Event, type="errand.goods.wrapped"):
    """The second effect, after which the way forks."""


class GoodsUnwrapped(CompensatingEvent, type="errand.goods.unwrapped", undoes=GoodsWrapped):
    """Takes the second effect back."""


class RiderHired(Event, type="errand.rider.hired"):
    """One branch."""


class RiderDismissed(CompensatingEvent, type="errand.rider.dismissed", undoes=RiderHired):
    """Takes the one branch back."""


class SlotBooked(Event, type="errand.slot.booked"):
    """The other branch."""


class SlotFreed(CompensatingEvent, type="errand.slot.freed", undoes=SlotBooked):
    """Takes the other branch back."""


class GoodsDelivered(Event, type="errand.goods.delivered"):
    """The last effect."""


class GoodsFetchedBack(CompensatingEvent, type="errand.goods.fetched_back", undoes=GoodsDelivered):
    """Takes the last effect back."""


class DeliveryRefused(Refusal, type="errand.delivery.refused"):
    """Nobody was at home."""


class ErrandCompleted(Completion, type="errand.completed"):
    """The good end."""


class ErrandCancelled(FailingEnd, type="errand.cancelled", ends_as="cancelled"):
    """The errand was called off."""


SCHEMA: SagaSchema = schema_of("errand", sys.modules[__name__])
