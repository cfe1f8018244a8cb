"""What stands in the files beside the code."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import yaml

from deploy.local.jars import KAFKA_VERSION
from producers.settings import Settings

REPOSITORY = Path(__file__).parents[2]


def compose() -> Any:
    return yaml.safe_load((REPOSITORY / "compose.yaml").read_text())


def test_the_lock_has_a_hash_for_everything_and_no_address() -> None:
    lock = (REPOSITORY / "requirements.lock").read_text()
    pinned = re.findall(r"^[a-z0-9_.-]+==", lock, re.MULTILINE)
    blocks = re.split(r"^(?=[a-z0-9_.-]+==)", lock, flags=re.MULTILINE)[1:]
    assert len(pinned) > 50
    assert all("--hash=sha256:" in block for block in blocks)
    assert not re.search(r"://|--(extra-)?index-url|--find-links|--trusted-host", lock)


def test_what_the_project_needs_is_locked() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    wanted = project["project"]["dependencies"] + project["project"]["optional-dependencies"]["dev"]
    wanted += project["build-system"]["requires"]
    lock = (REPOSITORY / "requirements.lock").read_text()
    locked = {_plain(name) for name in re.findall(r"^([A-Za-z0-9_.-]+)==", lock, re.MULTILINE)}
    assert {_plain(re.split(r"[\[=<>!~ ;]", one)[0]) for one in wanted} <= locked


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_no_committed_file_names_a_package_registry() -> None:
    # Written in parts, so that this file is none of them.
    hosts = [
        "py" + "pi.org",
        "python" + "hosted.org",
        "repo1." + "maven",
        "registry." + "npmjs",
        "repo.maven." + "apache",
    ]
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=True).stdout
    files = [REPOSITORY / name.decode() for name in listed.split(b"\0") if name]
    naming = {
        str(path.relative_to(REPOSITORY)): host
        for path in files
        for host in hosts
        if path.is_file() and host.encode() in path.read_bytes()
    }
    assert naming == {}


def test_the_containers_are_told_by_names_that_the_settings_know() -> None:
    known = {"SOMA_HOME", "SOMA_TENANT"}
    for name, field in Settings.model_fields.items():
        choices = getattr(field.validation_alias, "choices", None)
        known |= {str(choice) for choice in choices} if choices else {f"SOMA_{name.upper()}"}
    for name in ("worker", "sink"):
        assert set(compose()["services"][name]["environment"]) <= known


def test_the_containers_run_the_kafka_we_test_with() -> None:
    assert compose()["services"]["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}"


def test_containers_listen_on_the_loopback_interface_only() -> None:
    ports = [port for service in compose()["services"].values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_verbs_run_elsewhere_exist() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    verbs = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    loops = re.findall(r"for verb in ([a-z ]+);", (REPOSITORY / ".ci" / "run").read_text())
    hooks = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    used = {verb for loop in loops for verb in loop.split()} | {hook["entry"].removeprefix("make ") for hook in hooks}
    assert used == {"check", "test", "run"}
    assert used <= verbs
