"""A daemon's name in its groups: one program at a time has it, and the next one gets the same."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.members import AlreadyRuns, member_name, worker_program

HOLDER = """
import sys
from pathlib import Path
from deploy.local.members import member_name
with member_name(Path(sys.argv[1]), "worker"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_program_of_the_same_name_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    with (
        member_name(tmp_path, "worker"),
        pytest.raises(AlreadyRuns, match=rf"worker runs already .*\(pid {os.getpid()}\)") as refused,
        member_name(tmp_path, "worker"),
    ):
        pass
    assert refused.value.exit_code == 2


def test_programs_that_carry_other_participants_have_names_of_their_own(tmp_path: Path) -> None:
    programs = [worker_program([], None), worker_program(["a.b"], None), worker_program([], "second")]
    with (
        member_name(tmp_path, programs[0]) as first,
        member_name(tmp_path, programs[1]) as second,
        member_name(tmp_path, programs[2]) as third,
    ):
        assert len({first, second, third}) == 3
    with member_name(tmp_path, programs[0]) as again:
        assert again == first


def test_a_name_is_free_once_its_holder_is_dead(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None and holder.stdin is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(AlreadyRuns, match=f"pid {holder.pid}"), member_name(tmp_path, "worker"):
        pass
    holder.kill()
    holder.wait()
    holder.stdin.close()
    holder.stdout.close()
    with member_name(tmp_path, "worker") as name:
        assert name


def test_names_of_many_participants_stay_short_and_tell_them_apart() -> None:
    many = [f"campaign.participant_{index}" for index in range(40)]
    assert worker_program(many, None) == worker_program(many[::-1], None)
    assert worker_program(many, None) != worker_program(many[1:], None)
    assert len(worker_program(many, None)) < 80


@pytest.mark.parametrize("name", ["", "a/b", "..", "a b", "x" * 61, "-x"])
def test_a_name_that_cannot_be_a_file_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=re.escape("--name takes 1 to 60")):
        worker_program([], name)
