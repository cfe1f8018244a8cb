"""How the newcomer's saga is made wrong, and where and how that is told."""

from dataclasses import dataclass

WORDS, PORTS, STEPS, APP = MODULES = ("refund_words", "refund_ports", "refund_steps", "refund_app")
Edit = tuple[str, str, str]


@dataclass(frozen=True)
class Mistake:
    """Edits of the newcomer's files, and where and how the mistake is told; `others` lines follow from it."""

    name: str
    edits: tuple[Edit, ...]
    module: str
    line_with: str
    told: str
    others: int = 0


def step(name: str) -> str:
    """How the definition of a step begins."""
    return f"async def {name}("


NEW_STEP = "FLOW = Flow("
ADDRESS = "addresses: Addresses, call: Call) -> AddressFound:"
BANK = "bank: Bank, call: Call"
CANCEL = "cancel: CancelRefund, cleared: PayoutCleared | None, call: Call"
CANCELLED = 'call.refused("the payment may be under way") if cleared else '
APPROVE = "    approve: ApproveRefund, approved: RefundApproved | None, call: Call\n"
APPROVED = 'call.refused("approved before") if approved else '
JOIN = '@join(LetterPrinted | LetterNotWanted, AddressFound, deadline="1h")'
JOINED = "letter: LetterPrinted | LetterNotWanted, address: AddressFound, call: Call"
