"""What becomes of a saga whose step or compensation is not in the build that is deployed."""

from dataclasses import replace

from schemas.engine import ItemResumed
from tests.unit.consumers.runtime import small_saga as order
from tests.unit.consumers.runtime.bench import SAGA, Bench, causation_in, type_in
from tests.unit.consumers.runtime.small_saga import ORDER, STORE


def without(step: str, bench: Bench) -> Bench:
    """The next life of the participant, in which a build without this step is deployed."""
    steps = {name: one for name, one in bench.graph.steps.items() if name != step}
    later = Bench(bench.participant, replace(bench.graph, steps=steps))
    later.now, later.state, later.offsets = bench.now, dict(bench.state), bench.offsets
    later.ledger.load(SAGA, bench.state[SAGA])
    later.ledger.reopen("clean", now=later.now)
    return later


def test_a_step_that_is_retried_before_it_is_deployed_again_is_not_lost() -> None:
    store = Bench(STORE)
    store.opens()
    store.commit()
    store = without("print_label", store)
    store.starts()
    store.commit()
    store.hears(ItemResumed(saga_id=SAGA, participant=STORE, step="print_label", item="print_label/opening"))
    store.commit()
    assert "print_label" in store.open_items


def test_a_compensation_that_is_retried_before_it_is_deployed_again_says_once_more_that_it_is_stuck() -> None:
    store = Bench(STORE)
    store.opens()
    store.starts()
    store.says("print_label", order.LabelPrinted(saga_id=SAGA))
    store.says("reserve_stock", order.StockRefused(saga_id=SAGA, reason="sold out"))
    store.commit()
    undo_gone = {name: replace(step, undo=None) for name, step in ORDER.steps.items() if name == "print_label"}
    later = Bench(STORE, replace(ORDER, steps=ORDER.steps | undo_gone))
    later.ledger.load(SAGA, store.state[SAGA])
    later.ledger.reopen("clean", now=later.now)
    later.expires()
    later.commit()
    (item,) = later.journal.items
    later.hears(ItemResumed(saga_id=SAGA, participant=STORE, step="print_label", item=item))
    later.commit()
    causes = [causation_in(one) for one in later.said if type_in(one) == "order.compensation.stuck"]
    assert len(causes) == 2
    assert len(set(causes)) == 2
