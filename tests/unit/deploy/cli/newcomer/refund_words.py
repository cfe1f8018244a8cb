"""The messages of a refund: reserve the money, ask a person, print a letter, pay (no way back), send the receipt."""

from schemas.message import Command, CompensatingEvent, Completion, Event, FailingEnd, Opening, Question, Refusal


class RequestRefund(Command, type="refund.request"):
    cents: int


class ApproveRefund(Command, type="refund.approve"):
    pass


class CancelRefund(Command, type="refund.cancel"):
    pass


class RefundRequested(Opening, type="refund.requested"):
    cents: int


class FundsReserved(Event, type="refund.funds.reserved"):
    pass


class FundsReleased(CompensatingEvent, type="refund.funds.released", undoes=FundsReserved):
    pass


class FundsRefused(Refusal, type="refund.funds.refused"):
    pass


class ApprovalRequested(Question, type="refund.approval.requested", waiting_for="approve"):
    pass


class RefundApproved(Event, type="refund.approved", answers=ApprovalRequested):
    pass


class RefundExpired(FailingEnd, type="refund.expired", ends_as="expired"):
    pass


class RefundCancelled(FailingEnd, type="refund.cancelled", ends_as="cancelled"):
    pass


class LetterPrinted(Event, type="refund.letter.printed"):
    pass


class LetterNotWanted(Event, type="refund.letter.not_wanted"):
    pass


class LetterShredded(CompensatingEvent, type="refund.letter.shredded", undoes=LetterPrinted):
    pass


class AddressFound(Event, type="refund.address.found"):
    pass


class PayoutCleared(Event, type="refund.payout.cleared"):
    pass


class PaymentMade(Event, type="refund.payment.made"):
    pass


class RefundCompleted(Completion, type="refund.completed"):
    pass
