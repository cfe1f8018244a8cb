"""`soma down`: stop the embedded stack."""

import sys

from deploy.local.errors import StackError, explained
from deploy.local.stack import Stack
from producers.settings import Settings


def down(settings: Settings, stack: Stack | None = None) -> int:
    """Stop everything that runs for this `SOMA_HOME`, workers before the broker; nothing that was said is lost.

    Returns 0, also where nothing ran; 3 where something could not be stopped.
    """
    try:
        with explained(settings.home):
            stopped = (stack or Stack(settings)).down()
    except StackError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print("stopped" if stopped else "nothing was running", file=sys.stderr)
    return 0
