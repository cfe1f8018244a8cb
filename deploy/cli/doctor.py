"""`soma doctor`: what runs, what answers, and what to do about the rest."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from deploy.cli.coverage import running_checks
from deploy.local.checks import checks
from deploy.local.errors import StackError, explained
from deploy.local.parts import participants_of
from deploy.local.records import living, read_record, recorded
from deploy.local.stack import Stack
from producers.errors import NoStack
from producers.settings import Settings


def doctor(settings: Settings, as_json: bool = False, stack: Stack | None = None) -> int:
    """Look at everything and say how it is: a JSON object on stdout, or lines for people on stderr.

    Returns 0 when all is well, 3 when something is not reachable, a partition has no reader or the sink lost
    something, 2 when `SOMA_HOME` cannot be used at all.
    """
    try:
        with explained(settings.home):
            chosen = stack or Stack(settings)
            found = list(checks(chosen))
            if all(check.ok for check in found if check.name in ("kafka", "clickhouse")):
                found += running_checks(settings)
    except StackError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    well = all(check.ok for check in found)
    if as_json:
        said = {
            "home": str(chosen.places.home),
            "kafka": _address(lambda: settings.bootstrap_servers),
            "cluster_id": next(check.identity for check in found if check.name == "kafka"),
            "clickhouse": _address(lambda: str(settings.store_url)),
            "smtp": str(settings.smtp) if settings.smtp is not None else None,
            "ok": well,
            "processes": processes(chosen),
            "checks": [asdict(check) for check in found],
        }
        print(json.dumps(said))
        return 0 if well else 3
    for check in found:
        print(f"{'ok  ' if check.ok else 'FAIL'} {check.name}: {check.detail}", file=sys.stderr)
        if check.remedy is not None:
            print(f"     → {check.remedy}", file=sys.stderr)
    for program in processes(chosen):
        participants = f": {', '.join(program['participants'])}" if program["participants"] else ""
        print(f"     {program['name']} (pid {program['pid']}) {program['state']}{participants}", file=sys.stderr)
    return 0 if well else 3


def _address(where: Callable[[], str]) -> str | None:
    try:
        return where()
    except NoStack:
        return None


def processes(stack: Stack) -> list[dict[str, Any]]:
    """The stack's programs: name, pid, state, and the participants that a worker says it runs.

    With a supervisor the states are its own words; without one, what still lives is `orphaned`.
    """
    supervisor = stack.supervisor()
    said = {part["name"]: part for part in stack.status().get("parts", [])}
    rows: list[dict[str, Any]] = []
    if supervisor is not None:
        rows.append({"name": "supervisor", "pid": supervisor.pid, "state": "running", "participants": []})
    for name in said.keys() | recorded(stack.places.run).keys() - {"supervisor"}:
        running = living(read_record(stack.places.record(name)))
        if running is None and name not in said:
            continue
        pid = running.pid if running is not None else None
        state = said[name]["state"] if name in said else "orphaned"
        # The supervisor may not have noticed yet.
        state = "dead" if running is None and state in ("starting", "running") else state
        participants = participants_of(stack.places.ready_file(name), pid) if pid is not None else []
        rows.append({"name": name, "pid": pid, "state": state, "participants": participants})
    return sorted(rows, key=lambda row: str(row["name"]))
