"""The words alone: what other programs install."""

import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

SCHEMAS = Path(__file__).parents[2] / "schemas"
PYDANTIC = ("pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection")
IMPORT_ALL = """
import importlib, pkgutil, sys

sys.path[:0] = sys.argv[1:]
import somaagenthub_contracts as contracts

for found in pkgutil.iter_modules(contracts.__path__, "somaagenthub_contracts."):
    print(importlib.import_module(found.name).__name__)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built without network and without isolation, by the locked backend."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=SCHEMAS, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture
def only_pydantic(tmp_path: Path) -> Path:
    """What an empty environment has after pydantic was installed into it."""
    for name in PYDANTIC:
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.origin is not None
        origin = Path(spec.origin)
        there = origin.parent if origin.name == "__init__.py" else origin
        (tmp_path / there.name).symlink_to(there)
    return tmp_path


def test_the_words_can_be_imported_where_there_is_nothing_but_pydantic(wheel: Path, only_pydantic: Path) -> None:
    # -S leaves the environment's own packages out.
    command = [sys.executable, "-I", "-S", "-c", IMPORT_ALL, str(wheel), str(only_pydantic)]
    done = subprocess.run(command, cwd=only_pydantic, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = {f"somaagenthub_contracts.{path.stem}" for path in SCHEMAS.glob("*.py") if path.stem != "__init__"}
    assert set(done.stdout.split()) == expected


def test_the_wheel_holds_the_words_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
    assert sorted(names) == sorted(f"somaagenthub_contracts/{path.name}" for path in SCHEMAS.glob("*.py"))
