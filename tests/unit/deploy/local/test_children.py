"""A program of the stack stands in the home, whatever becomes of the folder of the one who started it."""

import os
import sys
from pathlib import Path

import pytest

from deploy.local.child import absolute, spawn
from deploy.local.kafka import Launch
from deploy.local.places import Places

TELLS = "import os; print(os.getcwd()); print(os.environ['PYTHONPATH'])"


def test_a_child_starts_where_the_callers_folder_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = Places(tmp_path / "home")
    places.prepare()
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(gone)
    gone.rmdir()
    started = spawn("teller", Launch((sys.executable, "-c", TELLS)), places, "token")
    assert started.wait(30) == 0
    assert places.log("teller").read_text().splitlines()[:2] == [str(places.home), str(tmp_path)]


def test_a_child_finds_what_its_starter_named_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = Places(tmp_path / "home")
    places.prepare()
    monkeypatch.setenv("PYTHONPATH", "lib")
    monkeypatch.chdir(tmp_path)
    assert spawn("teller", Launch((sys.executable, "-c", TELLS)), places, "token").wait(30) == 0
    assert places.log("teller").read_text().splitlines()[1] == str(tmp_path / "lib")


def test_relative_paths_still_mean_what_they_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = {
        "PYTHONPATH": f".{os.pathsep}lib{os.pathsep}/abs",
        "SOMA_CACHE": "cache",
        "SOMA_KAFKA_SECURITY__CA_FILE": "ca.pem",
        "SOMA_TENANT": "./not/a/path",
    }
    assert absolute(given) == {
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{tmp_path / 'lib'}{os.pathsep}/abs",
        "SOMA_CACHE": str(tmp_path / "cache"),
        "SOMA_KAFKA_SECURITY__CA_FILE": str(tmp_path / "ca.pem"),
        "SOMA_TENANT": "./not/a/path",
    }
