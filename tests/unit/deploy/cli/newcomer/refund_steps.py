"""The steps of a refund and its compensations."""

from datetime import timedelta

from consumers.runtime.steps import Call, Flow, Later, Participant, Retry, join, on, undo
from schemas.engine import CommandRefused
from tests.unit.deploy.cli.newcomer.refund_ports import Addresses, Bank, Ledger, Mail, Printer
from tests.unit.deploy.cli.newcomer.refund_words import (
    AddressFound,
    ApprovalRequested,
    ApproveRefund,
    CancelRefund,
    FundsRefused,
    FundsReleased,
    FundsReserved,
    LetterNotWanted,
    LetterPrinted,
    LetterShredded,
    PaymentMade,
    PayoutCleared,
    RefundApproved,
    RefundCancelled,
    RefundCompleted,
    RefundExpired,
    RefundRequested,
    RequestRefund,
)


@on(RequestRefund)
async def open_refund(asked: RequestRefund) -> RefundRequested:
    return RefundRequested(saga_id=asked.saga_id, cents=asked.cents)


@on(CancelRefund)
async def cancel_refund(
    cancel: CancelRefund, cleared: PayoutCleared | None, call: Call
) -> RefundCancelled | CommandRefused:
    return call.refused("the payment may be under way") if cleared else RefundCancelled(saga_id=call.saga_id)


@on(FundsReserved)
async def ask_for_approval(reserved: FundsReserved, call: Call) -> ApprovalRequested:
    return ApprovalRequested(saga_id=call.saga_id, deadline=call.now + timedelta(hours=24))


@on(ApproveRefund)
async def approve_refund(
    approve: ApproveRefund, approved: RefundApproved | None, call: Call
) -> RefundApproved | CommandRefused:
    return call.refused("approved before") if approved else RefundApproved(saga_id=call.saga_id)


@on(ApprovalRequested)
async def expire_approval(
    asked: ApprovalRequested, approved: RefundApproved | None, call: Call
) -> RefundExpired | Later | None:
    if approved is not None:
        return None
    return call.later(asked.deadline) if call.now < asked.deadline else RefundExpired(saga_id=call.saga_id)


@join(LetterPrinted | LetterNotWanted, AddressFound, deadline="1h")
async def clear_payout(letter: LetterPrinted | LetterNotWanted, address: AddressFound, call: Call) -> PayoutCleared:
    return PayoutCleared(saga_id=call.saga_id)


@on(RefundRequested, retry=Retry(attempts=3))
async def reserve_funds(asked: RefundRequested, ledger: Ledger, call: Call) -> FundsReserved | FundsRefused:
    await ledger.reserve(call.key, asked.cents)
    return FundsReserved(saga_id=call.saga_id)


@on(RefundApproved)
async def print_letter(approved: RefundApproved, printer: Printer, call: Call) -> LetterPrinted | LetterNotWanted:
    await printer.print(call.key)
    return LetterPrinted(saga_id=call.saga_id)


@on(RefundApproved)
async def find_address(approved: RefundApproved, addresses: Addresses, call: Call) -> AddressFound:
    await addresses.find("customer")
    return AddressFound(saga_id=call.saga_id)


@on(PayoutCleared, pivot=True)
async def pay_customer(cleared: PayoutCleared, bank: Bank, call: Call) -> PaymentMade:
    await bank.pay(call.key)
    return PaymentMade(saga_id=call.saga_id)


@on(PaymentMade)
async def send_receipt(paid: PaymentMade, mail: Mail, call: Call) -> RefundCompleted:
    await mail.send(call.key)
    return RefundCompleted(saga_id=call.saga_id)


@undo(LetterPrinted)
async def shred_letter(printed: LetterPrinted | None, printer: Printer, call: Call) -> LetterShredded:
    await printer.shred(call.key)
    return LetterShredded(saga_id=call.saga_id)


@undo(FundsReserved)
async def release_funds(reserved: FundsReserved | None, ledger: Ledger, call: Call) -> FundsReleased:
    await ledger.release(call.key)
    return FundsReleased(saga_id=call.saga_id)


FLOW = Flow(
    "refund",
    participants=(
        Participant(
            "refund.desk",
            steps=(open_refund, cancel_refund, ask_for_approval, approve_refund, expire_approval, clear_payout),
            door=True,
        ),
        Participant("refund.till", steps=(reserve_funds,)),
        Participant("refund.office", steps=(print_letter, find_address, pay_customer, send_receipt)),
    ),
)
UNDOS = (shred_letter, release_funds)
