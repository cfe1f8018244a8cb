"""What only looks like a mistake."""

from tests.unit.deploy.cli.newcomer.edits import APPROVE, APPROVED, BANK, CANCEL, CANCELLED, STEPS, WORDS, Edit

ALLOWED: dict[str, tuple[Edit, ...]] = {
    "a cancel that is marked with the event of no return": (
        (STEPS, CANCEL, "cancel: CancelRefund, call: Call"),
        (STEPS, CANCELLED, ""),
        (STEPS, "@on(CancelRefund)", "@on(CancelRefund, until=PayoutCleared)"),
    ),
    "a cancel that knows of an earlier event of the door": (
        (STEPS, CANCEL, CANCEL.replace("PayoutCleared", "RefundApproved")),
    ),
    "a pivot that may refuse": (
        (STEPS, BANK + ") -> PaymentMade:", BANK + ") -> PaymentMade | PaymentRefused:"),
        (STEPS, "    PaymentMade,\n", "    PaymentMade,\n    PaymentRefused,\n"),
        (
            WORDS,
            "class RefundCompleted(",
            "class PaymentRefused(Refusal, type='refund.payment.refused'):\n    pass\n\n\nclass RefundCompleted(",
        ),
    ),
    "an effect after the pivot that has an undo": ((STEPS, "@on(PaymentMade)", '@on(PaymentMade, failure="hold")'),),
    "no cancel, and a pivot that the door does not lead to": (
        (WORDS, 'class CancelRefund(Command, type="refund.cancel"):\n    pass\n', ""),
        (WORDS, 'class RefundCancelled(FailingEnd, type="refund.cancelled", ends_as="cancelled"):\n    pass\n', ""),
        (STEPS, "    CancelRefund,\n", ""),
        (STEPS, "    RefundCancelled,\n", ""),
        (STEPS, "@on(CancelRefund)\nasync def cancel_refund(\n", "async def cancel_refund(  # type: ignore\n"),
        (STEPS, CANCEL, "cancel, cleared, call"),
        (STEPS, " -> RefundCancelled | CommandRefused:", ":"),
        (STEPS, "(open_refund, cancel_refund,", "(open_refund,"),
        (STEPS, "approve_refund, expire_approval, clear_payout)", "approve_refund, expire_approval)"),
        (STEPS, "(print_letter,", "(clear_payout, print_letter,"),
    ),
    "a command that may repeat what follows": (
        (STEPS, "@on(ApproveRefund)", "@on(ApproveRefund, repeatable=True)"),
        (
            STEPS,
            APPROVE,
            "    approve: ApproveRefund, call: Call\n",
        ),
        (STEPS, APPROVED, ""),
    ),
    "a step of the door that recalls the opening for certain": (
        (STEPS, CANCEL, CANCEL.replace("call: Call", "opened: RefundRequested, call: Call")),
    ),
}
