"""The list of mutants that change nothing: each entry names one mutant of the code as it is, and says why."""

from tests.simulation.equivalents import EQUIVALENT
from tests.simulation.mutating import MODULES, made


def test_an_entry_names_a_mutant_of_the_code_as_it_is_and_its_reason() -> None:
    """Where the code has changed, look whether the entry still holds, or take it out."""
    named = {change.split(".")[0] for change in EQUIVALENT}
    changes = {mutant.change for module in MODULES if module in named for mutant in made(module)}
    assert EQUIVALENT.keys() <= changes
    assert all(reason.strip() for reason in EQUIVALENT.values())
