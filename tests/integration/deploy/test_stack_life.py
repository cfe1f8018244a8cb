"""What a stack survives, with programs that start in a moment (no broker): mail and an idler."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from deploy.cli.doctor import doctor, processes
from deploy.cli.down import down
from deploy.cli.up import up
from deploy.local.errors import PartNotReady
from deploy.local.files import read_object
from deploy.local.mail import mail_answers
from deploy.local.records import HOME_VARIABLE, Record, living, read_record
from deploy.local.stack import Stack
from producers.settings import Settings

SMALL_STACK = Path(__file__).with_name("small_stack.py")
Until = Callable[..., None]
MakeStack = Callable[..., Stack]
PidOf = Callable[[Stack, str], int | None]
Kill = Callable[[Stack, str], int]

UP = """
import sys
from pathlib import Path
from deploy.cli.up import up
from deploy.local.stack import Stack
from producers.settings import Settings
settings = Settings(home=Path(sys.argv[1]))
sys.exit(up(settings, sys.argv[2] == "detach", Stack(settings, (sys.executable, "-P", *sys.argv[3:]))))
"""


def run_up(home: Path, how: str, *parts: str) -> list[str]:
    return [sys.executable, "-c", UP, str(home), how, str(SMALL_STACK), *parts]


def running_programs(home: Path) -> Counter[str]:
    """How many programs of each kind run for this home, whoever started them."""
    kinds: Counter[str] = Counter()
    for found in psutil.process_iter():
        try:
            if found.environ().get(HOME_VARIABLE) == str(home) and found.status() != psutil.STATUS_ZOMBIE:
                words = found.cmdline()
                modules = ("deploy.local.guardian", "deploy.local.mail", "idle")
                kinds[next((word for word in modules if word in words), "supervisor").rpartition(".")[2]] += 1
        except psutil.Error:
            continue
    return kinds


ONE_OF_EACH = Counter({"supervisor": 1, "guardian": 1, "mail": 1, "idle": 1})


def test_a_second_up_finds_the_stack_up(make_stack: MakeStack, capfd: pytest.CaptureFixture[str]) -> None:
    stack = make_stack("mail", "idler")
    assert up(stack.settings, True, stack) == 0
    first = stack.status()
    assert up(stack.settings, True, stack) == 0
    assert "already up" in capfd.readouterr().err
    assert stack.status() == first
    assert running_programs(stack.places.home) == ONE_OF_EACH


def test_two_ups_at_the_same_instant_start_one_stack(make_stack: MakeStack) -> None:
    stack = make_stack("mail", "idler")
    home = stack.places.home
    both = [subprocess.Popen(run_up(home, "detach", "mail", "idler"), stderr=subprocess.PIPE) for _ in range(2)]
    said = [program.communicate(timeout=50)[1] for program in both]
    assert [program.returncode for program in both] == [0, 0], said
    assert running_programs(home) == ONE_OF_EACH


def test_up_detached_lets_go_of_the_pipes_it_was_given(make_stack: MakeStack) -> None:
    home = make_stack("mail", "idler").places.home
    said = subprocess.run(run_up(home, "detach", "mail", "idler"), capture_output=True, timeout=40, check=True)
    assert b"up in" in said.stderr


def test_up_in_the_foreground_stops_the_stack_on_ctrl_c(make_stack: MakeStack, until: Until) -> None:
    stack = make_stack("mail", "idler")
    shown = subprocess.Popen(
        run_up(stack.places.home, "stay", "mail", "idler"), stderr=subprocess.PIPE, start_new_session=True
    )
    assert shown.stderr is not None
    while b"Ctrl-C" not in (line := shown.stderr.readline()):
        assert line
    os.kill(shown.pid, signal.SIGINT)
    assert shown.wait(30) == 0
    shown.stderr.close()
    assert running_programs(stack.places.home) == Counter()


@pytest.mark.parametrize("name", ["mail", "idler", "guardian", "supervisor"])
def test_what_is_killed_comes_back_alone(
    make_stack: MakeStack, until: Until, name: str, pid_of: PidOf, kill: Kill
) -> None:
    stack = make_stack("mail", "idler")
    stack.up()
    others = {part: pid_of(stack, part) for part in ("mail", "idler", "guardian", "supervisor") if part != name}
    killed = kill(stack, name)
    until(lambda: pid_of(stack, name) not in (None, killed) and stack.status().get("ready"))
    assert {part: pid_of(stack, part) for part in others} == others
    assert running_programs(stack.places.home) == ONE_OF_EACH


def test_parts_without_supervisor_and_guardian_are_adopted_by_the_next_up(
    make_stack: MakeStack, pid_of: PidOf, kill: Kill
) -> None:
    stack = make_stack("mail", "idler")
    stack.up()
    kept = {name: pid_of(stack, name) for name in ("mail", "idler")}
    kill(stack, "guardian")
    kill(stack, "supervisor")
    orphans = {row["name"]: row["state"] for row in processes(stack)}
    if stack.supervisor() is None:
        assert orphans.get("mail") == "orphaned"
    stack.up()
    assert {name: pid_of(stack, name) for name in kept} == kept
    assert running_programs(stack.places.home) == ONE_OF_EACH


def test_a_part_whose_record_is_unreadable_is_replaced_and_not_doubled(
    make_stack: MakeStack, until: Until, pid_of: PidOf, kill: Kill
) -> None:
    stack = make_stack("mail", "idler")
    stack.up()
    idler = pid_of(stack, "idler")
    stack.places.record("idler").write_text("{half a rec")
    killed = kill(stack, "supervisor")
    until(lambda: pid_of(stack, "supervisor") not in (None, killed) and stack.status().get("ready"))
    assert pid_of(stack, "idler") != idler
    assert running_programs(stack.places.home) == ONE_OF_EACH


def test_down_ends_everything_even_without_a_supervisor(make_stack: MakeStack, kill: Kill) -> None:
    stack = make_stack("mail", "idler")
    stack.up()
    kill(stack, "guardian")
    kill(stack, "supervisor")
    assert stack.settings.smtp is not None
    assert down(stack.settings, stack) == 0
    assert running_programs(stack.places.home) == Counter()
    # What listens there from now on is not this home's.
    assert stack.settings.smtp is None
    assert down(stack.settings, stack) == 0


def test_a_stranger_with_a_pid_of_ours_is_left_alone(make_stack: MakeStack, pid_of: PidOf) -> None:
    stack = make_stack("mail", "idler")
    stack.places.prepare()
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        for name in ("supervisor", "idler"):
            record = Record(name, stranger.pid, psutil.Process(stranger.pid).create_time(), "somebody else's token")
            record.write(stack.places.record(name))
        assert stack.supervisor() is None
        assert stack.up()
        assert pid_of(stack, "idler") not in (None, stranger.pid)
        stack.down()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_port_once_chosen_is_kept(make_stack: MakeStack) -> None:
    stack = make_stack("mail", "idler")
    stack.up()
    addresses = read_object(stack.places.stack_file)
    assert str(stack.settings.smtp) == addresses["smtp"]
    stack.down()
    stack.up()
    assert read_object(stack.places.stack_file) == addresses


def test_when_a_stranger_takes_the_port_of_a_dead_part_everybody_learns_the_new_one(
    make_stack: MakeStack, until: Until
) -> None:
    stack = make_stack("mail", "idler")
    stack.up()
    before = read_object(stack.places.stack_file)
    first_port = before["ports"]["smtp"]
    stack.down()
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", first_port))
        stranger.listen()
        stack.up()
        now = read_object(stack.places.stack_file)
        assert now["ports"]["smtp"] != first_port
        assert mail_answers(now["ports"]["smtp"])
        last = (stack.places.home / "idler.starts").read_text().splitlines()[-1]
        assert json.loads(last)["SOMA_SMTP_URL"] == now["smtp"]


def test_a_part_that_cannot_start_is_named_with_the_end_of_its_log(make_stack: MakeStack) -> None:
    stack = make_stack("mail", "broken")
    with pytest.raises(PartNotReady, match=r"(?s)broken was not ready .*the reason it ends"):
        stack.up(timeout_seconds=6)


def test_a_corrupt_stack_file_costs_nothing(make_stack: MakeStack, pid_of: PidOf, kill: Kill) -> None:
    stack = make_stack("mail", "idler")
    stack.up()
    stack.places.stack_file.write_text("{")
    kept = pid_of(stack, "mail")
    kill(stack, "guardian")
    kill(stack, "supervisor")
    stack.up()
    assert pid_of(stack, "mail") == kept
    record = read_record(stack.places.record("mail"))
    assert living(record) is not None
    assert read_object(stack.places.stack_file)["ports"]["smtp"] == (record.ports["smtp"] if record else None)


def test_a_stack_whose_folder_was_removed_ends_by_itself(make_stack: MakeStack, until: Until, tmp_path: Path) -> None:
    stack = make_stack("mail", "idler")
    stack.up()
    stack.places.home.rename(tmp_path / "removed")
    until(lambda: running_programs(stack.places.home) == Counter())


def test_a_full_disk_is_told_as_one(make_stack: MakeStack) -> None:
    stack = make_stack("mail", "idler")
    # Files cannot grow beyond 4 kB: what a full disk does, for this one program.
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n" + UP
    arguments = run_up(stack.places.home, "detach", "mail", "idler")
    said = subprocess.run(
        [*arguments[:2], limited, *arguments[3:]], check=False, capture_output=True, text=True, timeout=40
    )
    assert said.returncode == 3
    assert "no space left" in said.stderr and "Traceback" not in said.stderr


def test_a_home_that_is_a_file_or_too_long_is_a_clear_mistake(
    make_stack: MakeStack, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    for home in (tmp_path / "file", tmp_path / "file" / "below", tmp_path.joinpath(*["long" * 30] * 8)):
        stack = Stack(make_stack("mail").settings.model_copy(update={"home": home}))
        assert up(stack.settings, True, stack) == 2
        assert "SOMA_HOME" in capfd.readouterr().err


def test_a_home_that_no_system_can_name_is_a_clear_mistake_for_every_verb(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / ("n" * 300))
    assert [up(settings, True), down(settings), doctor(settings)] == [2, 2, 2]


def test_an_up_while_the_supervisor_is_ending_starts_another(make_stack: MakeStack, pid_of: PidOf) -> None:
    stack = make_stack("mail", "idler")
    stack.up()
    ending = pid_of(stack, "supervisor")
    assert ending is not None
    os.kill(ending, signal.SIGTERM)
    while stack.status():
        time.sleep(0.01)
    stack.up()
    assert pid_of(stack, "supervisor") not in (None, ending)
    assert running_programs(stack.places.home) == ONE_OF_EACH
