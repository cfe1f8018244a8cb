"""Deliberate bugs are of the kind a person could make: no mutant ends in a name that nobody has given."""

from tests.simulation.mutants import mutants

TEXT = '''"""A module."""

LIMIT = 3


class Shelf:
    def put(self, one, other):
        first, second = one, other
        self.rows[first] = second
        self.count += 1
        self.tell(first)
        return self.count < LIMIT and first
'''


def test_what_gives_a_name_is_never_dropped_and_everything_else_is() -> None:
    dropped = {mutant.line for mutant in mutants("shelf.py", TEXT) if mutant.kind == "drop"}
    assert dropped == {
        TEXT[: TEXT.index(words)].count("\n") + 1 for words in ("self.rows", "self.count +=", "self.tell")
    }


def test_comparisons_conditions_and_results_are_changed() -> None:
    texts = {mutant.kind: mutant.text for mutant in mutants("shelf.py", TEXT)}
    assert "self.count <= LIMIT and first" in texts["compare"]
    assert "(self.count < LIMIT or first)" in texts["connect"]
    assert "return False\n" in texts["return"]
