"""Who may import whom, where import-linter's wildcards cannot say it."""

import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import grimp
import pytest

from schemas.topics import catalogue

REPOSITORY = Path(__file__).parents[2]
PACKAGES = ("schemas", "producers", "consumers", "compensations", "deploy")
COMPOSITION = {"consumers.app", "consumers.asyncapi", "consumers.documents"}


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES, include_external_packages=False, cache_dir=None)


def saga_of(module: str) -> str | None:
    """The saga whose own module this is, if any."""
    package, _, rest = module.partition(".")
    name = rest.partition(".")[0]
    return name if package in ("consumers", "compensations") and name in catalogue() else None


def test_the_layers_hold() -> None:
    linted = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert linted.returncode == 0, linted.stdout


def test_a_saga_touches_no_other_saga(imports: grimp.ImportGraph) -> None:
    crossings = [
        (module, other)
        for module in imports.modules
        for other in imports.find_modules_directly_imported_by(module)
        if saga_of(module) and saga_of(other) not in (None, saga_of(module))
    ]
    assert crossings == []


def test_only_the_composition_root_knows_the_sagas(imports: grimp.ImportGraph) -> None:
    knowing = {
        module
        for module in imports.modules
        for other in imports.find_modules_directly_imported_by(module)
        if module.startswith(("producers", "consumers", "compensations")) and saga_of(other) and not saga_of(module)
    }
    assert knowing <= COMPOSITION


def test_steps_and_compensations_know_no_adapter(imports: grimp.ImportGraph) -> None:
    knowing = [
        (module, other)
        for module in imports.modules
        for other in imports.find_modules_directly_imported_by(module)
        if saga_of(module) and ".adapters" in other and ".adapters" not in module
    ]
    assert knowing == []


def test_our_top_level_names_belong_to_nobody_else() -> None:
    # An editable install owns them through its path, and is not listed.
    owners = packages_distributions()
    others = {name: owner for name in PACKAGES for owner in owners.get(name, ()) if owner != "somaagenthub"}
    assert others == {}
