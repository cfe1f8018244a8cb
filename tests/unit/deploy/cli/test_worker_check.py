"""`soma worker --check` on the saga of a newcomer, with one mistake at a time: a line each, with file and line."""

import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.cli.flow import flow
from deploy.cli.worker import check_build, worker
from producers.settings import Settings
from tests.unit.deploy.cli.newcomer.code_mistakes import ADAPTERS, FUNCTIONS, IMPORTS, MARKS
from tests.unit.deploy.cli.newcomer.edits import APP, MODULES, STEPS, Edit, Mistake
from tests.unit.deploy.cli.newcomer.flow_mistakes import EFFECTS, PIVOTS, WAITING
from tests.unit.deploy.cli.newcomer.name_mistakes import NAMES
from tests.unit.deploy.cli.newcomer.no_mistakes import ALLOWED

SAGA = Path(__file__).parent / "newcomer"
PACKAGE = re.compile(r"tests\.unit\.deploy\.cli\.newcomer(\.| import)")
EVERY = (*PIVOTS, *WAITING, *EFFECTS, *ADAPTERS, *FUNCTIONS, *MARKS, *NAMES, *IMPORTS)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the newcomer's saga, from which Python imports."""
    for file in SAGA.glob("refund_*.py"):
        found = PACKAGE.sub(lambda match: "" if match[1] == "." else "import", file.read_text())
        (tmp_path / file.name).write_text(found.replace("from import", "import"))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    importlib.invalidate_caches()
    yield tmp_path
    for name in MODULES:
        sys.modules.pop(name, None)


def edit(home: Path, *edits: Edit) -> None:
    for module, old, new in edits:
        file = home / f"{module}.py"
        text = file.read_text()
        assert text.count(old) >= 1, f"{old!r} is not in {module}"
        file.write_text(text.replace(old, new, 1))


def told(capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    """The exit code of `soma worker --check`, and the lines that tell of mistakes."""
    code = worker(Settings(application="refund_app:sagas"), [], check=True)
    lines = capsys.readouterr().err.splitlines()
    assert not any(line.startswith("Traceback") for line in lines)
    return code, [line.removeprefix("  - ") for line in lines if line.startswith("  - ")]


def test_the_newcomers_saga_has_no_mistake(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys) == (0, [])


@pytest.mark.parametrize("mistake", EVERY, ids=lambda mistake: mistake.name)
def test_a_mistake_is_a_line_with_file_and_line(
    mistake: Mistake, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(home, *mistake.edits)
    lines = (home / f"{mistake.module}.py").read_text().splitlines()
    (number,) = [number for number, line in enumerate(lines, start=1) if mistake.line_with in line][:1]
    code, found = told(capsys)
    assert code == 2
    assert any(line.startswith(f"{mistake.module}.py:{number}: {mistake.told}") for line in found), found
    assert len(found) == 1 + mistake.others, found


@pytest.mark.parametrize("edits", ALLOWED.values(), ids=ALLOWED)
def test_what_only_looks_like_a_mistake_is_none(
    edits: tuple[Edit, ...], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(home, *edits)
    assert told(capsys) == (0, [])


def test_all_mistakes_are_told_at_once(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mistakes = [one for one in EVERY if one.name in ("a plain def", "a wrong prefix", "a second undo of one step")]
    edit(home, *(one for mistake in mistakes for one in mistake.edits))
    _, found = told(capsys)
    assert all(any(mistake.told in line for line in found) for mistake in mistakes), found


def test_the_mistakes_of_all_sagas_are_told_at_once(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refund = 'saga_kind(FLOW, UNDOS, schema_of("refund", refund_words), adapters),'
    payout = refund.replace("FLOW", "replace(FLOW, saga='payout')")
    edit(
        home,
        (APP, refund, refund + payout),
        (APP, "import refund_words", "from dataclasses import replace\nimport refund_words"),
    )
    edit(home, (STEPS, "async def send_receipt", "def send_receipt"), (STEPS, "    await mail.send(call.key)\n", ""))
    _, found = told(capsys)
    assert len([line for line in found if "send_receipt is a plain `def`" in line]) == 2, "once for each saga"
    assert len([line for line in found if "the flow is called payout, its schema refund" in line]) == 1


def test_a_saga_kind_stands_once_in_its_composition_root(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(home, (APP, "adapters),)", "adapters),) * 2"))
    assert told(capsys) == (2, ["it has more than one saga kind called refund: keep one of each"])


@pytest.mark.parametrize("application", ["nothing:sagas", "refund_app:nothing"])
def test_a_composition_root_that_is_not_there(application: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert worker(Settings(application=application), [], check=True) == 2
    assert f"SOMA_APPLICATION={application} names no composition root (" in capsys.readouterr().err


@pytest.mark.parametrize(("in_flight", "exit_code"), [(False, 0), (True, 3)])
@pytest.mark.parametrize("servers", [None, "127.0.0.1:9"], ids=["no stack", "nothing listens"])
def test_without_kafka_the_flows_are_checked_and_it_is_said_that_nothing_was_compared(
    in_flight: bool, exit_code: int, servers: str | None, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(application="refund_app:sagas", home=home / "soma", kafka_bootstrap_servers=servers)
    assert check_build(settings, [], in_flight) == exit_code
    checked, told = capsys.readouterr().err.splitlines()
    assert checked == "checked: refund"
    assert told.startswith("not compared with what is in flight: ")
    assert check_build(settings, [], in_flight, as_json=True) == exit_code
    found = json.loads(capsys.readouterr().out)
    assert (found["checked"], found["compared"], found["in_flight"]) == (["refund"], False, [])
    assert found["cause"] in told


def test_a_participant_that_no_saga_has_cannot_be_checked(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings(application="refund_app:sagas", home=home / "soma")
    assert check_build(settings, ["refund.nobody"]) == 2
    assert "there is no participant refund.nobody; there are refund." in capsys.readouterr().err


def test_the_other_verbs_tell_of_a_mistake_as_well(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(home, (STEPS, "@on(PaymentMade)\n", ""))
    assert flow(Settings(application="refund_app:sagas"), None, "text") == 2
    assert "send_receipt bears none of @on, @join, @undo" in capsys.readouterr().err


def test_a_worker_does_not_start_with_a_mistake(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(home, (APP, "        Bank: anything,\n", ""))
    assert worker(Settings(application="refund_app:sagas", home=home / "soma"), []) == 2
    assert "pay_customer takes the port Bank, and no adapter stands behind it" in capsys.readouterr().err
