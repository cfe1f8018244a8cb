"""Mistakes in messages, names and the lists of a flow."""

from tests.unit.deploy.cli.newcomer.edits import NEW_STEP, STEPS, WORDS, Mistake, step

NAMES = (
    Mistake(
        "a wrong prefix",
        ((WORDS, 'type="refund.payment.made"', 'type="payment.made"'),),
        WORDS,
        "class PaymentMade(",
        "PaymentMade has the type 'payment.made', and belongs to the saga refund: write type=\"refund.payment.made\"",
    ),
    Mistake(
        "no wire type",
        ((WORDS, 'class AddressFound(Event, type="refund.address.found")', "class AddressFound(Event)"),),
        WORDS,
        "class AddressFound(",
        'AddressFound has no wire type: write class AddressFound(…, type="refund.…")',
        others=2,
    ),
    Mistake(
        "one wire type for two classes",
        ((WORDS, 'type="refund.letter.not_wanted"', 'type="refund.address.found"'),),
        WORDS,
        "class AddressFound(",
        "LetterNotWanted and AddressFound have one wire type, refund.address.found",
        others=3,
    ),
    Mistake(
        "a type of the engine",
        ((WORDS, 'type="refund.address.found"', 'type="refund.step.failed"'),),
        WORDS,
        "class AddressFound(",
        "AddressFound has a type of the engine, refund.step.failed",
    ),
    Mistake(
        "a message that is neither a command nor an event",
        (
            (WORDS, "class AddressFound(Event", "class AddressFound(Message"),
            (WORDS, "FailingEnd, Opening", "FailingEnd, Message, Opening"),
        ),
        WORDS,
        "class AddressFound(",
        "AddressFound is neither a Command nor an Event",
        others=2,
    ),
    Mistake(
        "a class outside the schema module",
        (
            (
                STEPS,
                NEW_STEP,
                "class Smuggled(AddressFound, type='refund.smuggled'): ...\n\n\n@on(RefundApproved)\n"
                "async def find(approved: RefundApproved) -> Smuggled: ...\n\n\nFLOW = Flow(",
            ),
            (STEPS, "steps=(reserve_funds,)", "steps=(reserve_funds, find)"),
        ),
        STEPS,
        step("find"),
        "find uses Smuggled (refund.smuggled), which refund does not declare",
    ),
    Mistake(
        "a compensating event of nothing",
        ((WORDS, ", undoes=LetterPrinted", ""),),
        WORDS,
        "class LetterShredded(",
        "LetterShredded does not say which event it takes back: write undoes=ThatEvent",
        others=1,
    ),
    Mistake(
        "a final state that the status does not know",
        ((WORDS, 'ends_as="expired"', 'ends_as="timed_out"'),),
        WORDS,
        "class RefundExpired(",
        "RefundExpired ends as 'timed_out': write one of rejected, expired, cancelled, compensated",
    ),
    Mistake(
        "a question that says nothing of what it waits for",
        ((WORDS, ', waiting_for="approve"', ""),),
        WORDS,
        "class ApprovalRequested(",
        "ApprovalRequested does not say what it waits for",
    ),
    Mistake(
        "two steps of one name",
        ((STEPS, "steps=(reserve_funds,)", "steps=(reserve_funds, print_letter)"),),
        STEPS,
        step("print_letter"),
        "two steps of refund are called print_letter, in refund.till and refund.office",
    ),
    Mistake(
        "one event of two participants for one cause",
        (
            (
                STEPS,
                NEW_STEP,
                "@on(RefundApproved)\nasync def find(approved: RefundApproved) -> AddressFound: ...\n\n\nFLOW = Flow(",
            ),
            (STEPS, "steps=(reserve_funds,)", "steps=(reserve_funds, find)"),
        ),
        STEPS,
        step("find_address"),
        "find and find_address both answer refund.approved with refund.address.found: it could be said twice",
    ),
    Mistake(
        "a flow of another name than its schema",
        ((STEPS, '    "refund",\n', '    "refunds",\n'),),
        STEPS,
        NEW_STEP,
        "the flow is called refunds, its schema refund",
    ),
    *(
        Mistake(f"the participant {name}", ((STEPS, '"refund.till"', f'"{name}"'),), STEPS, NEW_STEP, told)
        for name, told in (
            ("till", "the participant 'till' needs a name such as \"refund.desk\""),
            ("refund.the till", "the participant 'refund.the till' needs a name such as"),
            ("refund.tracker", "the participant refund.tracker has the name of the saga's tracker"),
            ("refund.office", "2 participants are called refund.office"),
        )
    ),
    Mistake(
        "a participant without steps",
        ((STEPS, 'Participant("refund.till"', 'Participant("refund.attic", ()), Participant("refund.till"'),),
        STEPS,
        NEW_STEP,
        "the participant refund.attic has no steps",
    ),
    Mistake(
        "a tuple without its comma",
        ((STEPS, "steps=(reserve_funds,)", "steps=(reserve_funds)"),),
        STEPS,
        NEW_STEP,
        "the steps of refund.till are one function: write a tuple, steps=(a_step,)",
    ),
    Mistake(
        "no door",
        ((STEPS, "            door=True,\n", ""),),
        STEPS,
        NEW_STEP,
        "refund needs exactly one participant that is its door, not 0",
    ),
    Mistake(
        "an undo among the steps",
        ((STEPS, "steps=(reserve_funds,)", "steps=(reserve_funds, release_funds)"),),
        STEPS,
        step("release_funds"),
        "release_funds is an @undo, and stands among the steps",
    ),
    Mistake(
        "a step among the undos",
        ((STEPS, "UNDOS = (shred_letter, release_funds)", "UNDOS = (shred_letter, release_funds, find_address)"),),
        STEPS,
        step("find_address"),
        "find_address is a step, and stands among the compensations",
    ),
    Mistake(
        "a command that does not come to the door",
        (
            (STEPS, "(open_refund, cancel_refund,", "(open_refund,"),
            (STEPS, "(print_letter,", "(cancel_refund, print_letter,"),
        ),
        STEPS,
        step("cancel_refund"),
        "cancel_refund hears a command, but refund.office is not the door: move it to refund.desk",
    ),
    Mistake(
        "a loop through a person's answer",
        (
            (STEPS, "@on(RefundRequested, retry=Retry(attempts=3))", "@on(RefundRequested | AddressFound)"),
            (STEPS, "asked: RefundRequested, ledger", "asked: RefundRequested | AddressFound, ledger"),
        ),
        STEPS,
        step("ask_for_approval"),
        "a loop that is not declared repeatable: ask_for_approval -> ",
    ),
)
