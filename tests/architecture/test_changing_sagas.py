"""The page about changing sagas: each rule names a test that exists, and each case that is tested is named."""

import ast
import re
from functools import cache
from pathlib import Path

from tests.unit.consumers.runtime.test_flow_changes import CARRIED, STOPPED

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "consumers" / "CHANGING_SAGAS.md").read_text()
NAMED = re.findall(r"`([\w/]+\.py)::(test_\w+)(?:\[([^\]`]+)\])?`", PAGE)
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and not re.match(r"\| (Change|Rule) \|", line)]


@cache
def module(path: str) -> ast.Module:
    return ast.parse((REPOSITORY / "tests" / "unit" / path).read_text())


def test_every_rule_names_one_test() -> None:
    assert len(ROWS) > 40
    assert len(NAMED) == len(ROWS)
    assert all(row.count("::test_") == 1 for row in ROWS)


def test_every_test_that_is_named_exists() -> None:
    for path, name, case in NAMED:
        functions = {
            node.name for node in module(path).body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert name in functions, f"{path} has no {name}"
        if case:
            texts = {node.value for node in ast.walk(module(path)) if isinstance(node, ast.Constant)}
            assert case in texts, f"{path} has no case {case}"


def test_every_case_of_a_change_has_its_rule() -> None:
    assert {case for _, name, case in NAMED if name == "test_such_a_change_stops_no_saga"} == CARRIED.keys()
    stopped = "test_such_a_change_stops_the_sagas_that_have_it_before_them_and_no_other"
    assert {case for _, name, case in NAMED if name == stopped} == STOPPED.keys()


def test_the_readme_leads_to_the_page() -> None:
    assert "(consumers/CHANGING_SAGAS.md)" in (REPOSITORY / "README.md").read_text()
