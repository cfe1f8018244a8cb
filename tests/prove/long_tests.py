"""`python -m tests.prove.long_tests [PYTEST ARGUMENTS]`: the tests that `make test` leaves out, counted."""

import contextlib
import json
import sys
import time

import pytest

from tests.prove.parts import stoppable
from tests.prove.progress import tell


class Counted:
    """A plugin that counts the tests and keeps the names of those that failed."""

    def __init__(self) -> None:
        self.passed, self.failed = 0, set[str]()
        self._began = time.monotonic()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Hear of one test: set up, run, torn down."""
        if report.failed:
            self.failed.add(report.nodeid)
        elif report.when == "call" and report.passed:
            self.passed += 1
        if report.when == "teardown":
            tell(f"{time.monotonic() - self._began:.0f} s: {report.nodeid} is over")


def main(arguments: list[str]) -> int:
    """Run them; the last line has the figures."""
    stoppable()
    counted = Counted()
    with contextlib.redirect_stdout(sys.stderr):
        code = pytest.main(["-q", "-m", "long", *arguments], plugins=[counted])
    print(json.dumps({"long_tests": counted.passed, "long_tests_failed": sorted(counted.failed)}))
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
