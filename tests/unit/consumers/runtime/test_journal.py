"""What a journal keeps of a saga that has ended."""

from consumers.runtime.journal import Done, Fact, Hold, Item, Journal, Standing
from tests.unit.consumers.runtime.small_saga import DESK, STORE

NOW = 1_800_000_000.0
OPENED = Fact("order.opened", "opening", DESK, b"{}", NOW)
CANCEL = Fact("order.cancel", "cancel", "", b"{}", NOW)


def test_a_saga_that_has_ended_shrinks_to_a_marker_and_the_commands_that_are_to_be_answered() -> None:
    command = Item("cancel_order/cancel", "cancel_order", CANCEL, command=True)
    step = Item("print_label/opening", "print_label", OPENED)
    journal = Journal(
        "o-1",
        participants=(DESK, STORE),
        facts={OPENED.type: OPENED},
        items={step.id: step, command.id: command},
        seen=["print_label/opening"],
        done=[Done("print_label/opening", "print_label", OPENED)],
        standing={"a": Standing(STORE, "print_label")},
        settled=[DESK],
        answered=["place"],
        hold=Hold("flow changed: a step is missing", (OPENED,)),
    )
    journal.close(NOW)
    assert journal == Journal(
        "o-1", participants=(DESK, STORE), items={command.id: command}, answered=["place"], closed_at=NOW
    )
