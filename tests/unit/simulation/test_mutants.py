"""Deliberate bugs are of the kind a person could make: no mutant ends in a name that nobody has given."""

from tests.simulation.mutants import mutants

TEXT = '''"""A module."""

LIMIT = 3


class Shelf:
    def put(self, one, other) -> bool:
        first, second = one, other
        self.rows[first] = second
        self.count += 1
        self.tell(first)
        return self.count < LIMIT and first

    def find(self, name: str) -> str:
        return self.rows.get(name, "")

    def names(self) -> list[str]:
        return sorted(self.rows)
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


def test_a_result_becomes_one_that_says_nothing_and_is_of_its_type() -> None:
    found = {(mutant.function, mutant.new) for mutant in mutants("shelf.py", TEXT) if mutant.kind == "return"}
    assert found == {
        ("Shelf.put", "return True"),
        ("Shelf.put", "return False"),
        ("Shelf.find", "return ''"),
        ("Shelf.names", "return []"),
    }


def test_a_change_is_named_by_its_function_and_its_text_wherever_it_stands() -> None:
    below = {mutant.change for mutant in mutants("a/shelf.py", TEXT.replace("LIMIT = 3", "LIMIT = 3\n\n"))}
    assert below == {mutant.change for mutant in mutants("a/shelf.py", TEXT)}
    assert "shelf.Shelf.put: self.count < LIMIT -> self.count <= LIMIT" in below
