"""Mistakes in who waits for whom, and in what can be undone."""

from tests.unit.deploy.cli.newcomer.edits import (
    ADDRESS,
    APPROVE,
    APPROVED,
    CANCEL,
    CANCELLED,
    JOIN,
    JOINED,
    NEW_STEP,
    PORTS,
    STEPS,
    WORDS,
    Mistake,
    step,
)

PIVOTS = (
    Mistake(
        "a cancel that ignores the pivot",
        ((STEPS, CANCEL, "cancel: CancelRefund, call: Call"), (STEPS, CANCELLED, "")),
        STEPS,
        step("cancel_refund"),
        "cancel_refund may say refund.cancelled after the pivot pay_customer has begun, and that cannot be undone:"
        " recall `passed: PayoutCleared | None` and refuse when it is there, or mark the step until=PayoutCleared",
    ),
    Mistake(
        "a cancel that recalls what always stands",
        ((STEPS, CANCEL, CANCEL.replace("PayoutCleared", "RefundRequested")),),
        STEPS,
        step("cancel_refund"),
        "cancel_refund may say refund.cancelled after the pivot pay_customer has begun",
    ),
    Mistake(
        "a cancel that recalls what comes after the pivot",
        ((STEPS, CANCEL, CANCEL.replace("PayoutCleared", "PaymentMade")),),
        STEPS,
        step("cancel_refund"),
        "cancel_refund may say refund.cancelled after the pivot pay_customer has begun",
    ),
    Mistake(
        "a cancel that recalls what another participant than the door says",
        ((STEPS, CANCEL, CANCEL.replace("PayoutCleared", "AddressFound")),),
        STEPS,
        step("cancel_refund"),
        "cancel_refund may say refund.cancelled after the pivot pay_customer has begun",
    ),
    Mistake(
        "an expiry that ignores the pivot",
        (
            (
                STEPS,
                "asked: ApprovalRequested, approved: RefundApproved | None, call: Call",
                "asked: ApprovalRequested, call: Call",
            ),
            (STEPS, "    if approved is not None:\n        return None\n", ""),
        ),
        STEPS,
        step("expire_approval"),
        "expire_approval may say refund.expired after the pivot pay_customer has begun, and that cannot be undone:"
        " recall `passed: PayoutCleared | None` and return None when it is there",
    ),
    Mistake(
        "an expiry that does not belong to the door",
        (
            (STEPS, "expire_approval, clear_payout)", "clear_payout)"),
            (STEPS, "(print_letter,", "(expire_approval, print_letter,"),
        ),
        STEPS,
        step("expire_approval"),
        "expire_approval may say refund.expired after the pivot pay_customer has begun, and that cannot be undone:"
        " only the door can order a deadline against a pivot: move expire_approval to refund.desk",
    ),
    Mistake(
        "a refusing branch beside the pivot",
        (
            (STEPS, ADDRESS, ADDRESS.replace("AddressFound", "AddressFound | FundsRefused")),
            (STEPS, JOIN, "@on(LetterPrinted | LetterNotWanted)"),
            (STEPS, JOINED, JOINED.replace("AddressFound", "AddressFound | None")),
        ),
        STEPS,
        step("find_address"),
        "find_address may say refund.funds.refused after the pivot pay_customer has begun, and that cannot be undone:"
        " let pay_customer wait for find_address",
    ),
    Mistake(
        "a refusal after the pivot",
        (
            (
                STEPS,
                "mail: Mail, call: Call) -> RefundCompleted",
                "mail: Mail, call: Call) -> RefundCompleted | FundsRefused",
            ),
        ),
        STEPS,
        step("send_receipt"),
        "send_receipt may say refund.funds.refused after the pivot pay_customer has begun, and that cannot be undone:"
        " after pay_customer the saga can only go forward",
    ),
    Mistake(
        "an until that the door does not say",
        ((STEPS, "@on(CancelRefund)", "@on(CancelRefund, until=AddressFound)"),),
        STEPS,
        step("cancel_refund"),
        "cancel_refund is marked until=refund.address.found, which the door does not say",
    ),
    Mistake(
        "an until on a step that says no failing end",
        ((STEPS, "@on(ApproveRefund)", "@on(ApproveRefund, until=PayoutCleared)"),),
        STEPS,
        step("approve_refund"),
        "approve_refund is marked until=refund.payout.cleared, and says no failing end",
    ),
    Mistake(
        "an until at another participant than the door",
        ((STEPS, "@on(RefundRequested, retry", "@on(RefundRequested, until=PayoutCleared, retry"),),
        STEPS,
        step("reserve_funds"),
        "reserve_funds is marked until=refund.payout.cleared, but refund.till is not the door",
    ),
)
WAITING = (
    Mistake(
        "a join of what excludes each other",
        (
            (STEPS, JOIN, '@join(LetterPrinted, LetterNotWanted, deadline="1h")'),
            (STEPS, JOINED, "letter: LetterPrinted, other: LetterNotWanted, address: AddressFound | None, call: Call"),
        ),
        STEPS,
        step("clear_payout"),
        "clear_payout joins refund.letter.printed with refund.letter.not_wanted, of which a saga has only one",
    ),
    Mistake(
        "a join that lacks an alternative",
        (
            (STEPS, JOIN, '@join(LetterPrinted, AddressFound, deadline="1h")'),
            (STEPS, JOINED, "letter: LetterPrinted, address: AddressFound, other: LetterNotWanted | None, call: Call"),
        ),
        STEPS,
        step("clear_payout"),
        "clear_payout waits in vain for refund.letter.printed when print_letter says refund.letter.not_wanted",
    ),
    Mistake(
        "a join of a step that may be silent",
        ((STEPS, ADDRESS, ADDRESS.replace("AddressFound", "AddressFound | None")),),
        STEPS,
        step("clear_payout"),
        "clear_payout waits in vain for refund.address.found when find_address says nothing (None)",
    ),
    Mistake(
        "a join without a deadline",
        ((STEPS, ', deadline="1h")', ")"),),
        STEPS,
        step("clear_payout"),
        'clear_payout joins without a deadline: write deadline="6h"',
    ),
    Mistake(
        "a question that nothing expires",
        (
            (STEPS, " -> RefundExpired | Later | None:", " -> RefundExpired | None:"),
            (STEPS, "call.later(asked.deadline) if call.now < asked.deadline else ", ""),
        ),
        WORDS,
        "class ApprovalRequested(",
        "no step lets refund.approval.requested expire, so an unanswered saga never ends",
    ),
    Mistake(
        "a question that no command answers",
        ((WORDS, ", answers=ApprovalRequested", ""),),
        WORDS,
        "class ApprovalRequested(",
        "no command answers refund.approval.requested: declare the answer with answers=ApprovalRequested",
        others=2,
    ),
    Mistake(
        "a timer that leads to nothing",
        (
            (
                STEPS,
                NEW_STEP,
                "@on(FundsReserved)\nasync def watch(reserved: FundsReserved) -> Later | None: ...\n\n\nFLOW = Flow(",
            ),
            (STEPS, "steps=(reserve_funds,)", "steps=(reserve_funds, watch)"),
        ),
        STEPS,
        step("watch"),
        "watch returns Later, but says nothing when the time has come",
        others=1,
    ),
)
EFFECTS = (
    Mistake(
        "an effect without an undo",
        ((STEPS, "@on(PayoutCleared, pivot=True)", "@on(PayoutCleared)"),),
        STEPS,
        step("pay_customer"),
        "pay_customer has an effect, but neither an undo nor the mark pivot",
        others=1,
    ),
    Mistake(
        "an effect on a port that is marked ReadOnly",
        ((PORTS, "class Printer(Protocol)", "class Printer(ReadOnly, Protocol)"),),
        PORTS,
        "async def print(",
        "Printer is ReadOnly, but its method print takes a key, as effects do",
        others=3,
    ),
    Mistake(
        "a pivot whose ports only look",
        (
            (PORTS, "class Bank(Protocol)", "class Bank(ReadOnly, Protocol)"),
            (PORTS, "async def pay(self, key: str)", "async def pay(self)"),
        ),
        STEPS,
        step("pay_customer"),
        "pay_customer is a pivot, and all its ports are ReadOnly",
    ),
    Mistake(
        "an undo whose ports only look",
        (
            (
                STEPS,
                "printed: LetterPrinted | None, printer: Printer",
                "printed: LetterPrinted | None, printer: Addresses",
            ),
        ),
        STEPS,
        step("shred_letter"),
        "all ports of the compensation shred_letter are ReadOnly, so it can take nothing back",
    ),
    Mistake(
        "a port that only looks and inherits effects",
        ((PORTS, "class Addresses(ReadOnly, Protocol):\n", "class Addresses(Ledger, ReadOnly, Protocol):\n"),),
        PORTS,
        "class Addresses(",
        "Addresses is ReadOnly, and inherits from Ledger, which is not",
    ),
    Mistake(
        "a pivot with an undo",
        ((STEPS, "@on(RefundRequested, retry=Retry(attempts=3))", "@on(RefundRequested, pivot=True)"),),
        STEPS,
        step("reserve_funds"),
        "reserve_funds is a pivot, and has an undo",
        others=2,
    ),
    Mistake(
        "a command that starts its effects twice",
        (
            (
                STEPS,
                APPROVE,
                "    approve: ApproveRefund, call: Call\n",
            ),
            (STEPS, APPROVED, ""),
        ),
        STEPS,
        step("approve_refund"),
        "approve_refund says refund.approved again for each further command, and what follows runs again",
    ),
)
