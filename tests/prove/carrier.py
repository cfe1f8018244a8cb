"""One worker of several on one machine: the real verb, with a folder of its own so that each is a member of its own.

`python -m tests.prove.carrier NAME [BOOTSTRAP_SERVERS]`; without the address it takes the one it was told.
"""

import logging
import sys

from deploy.cli.worker import worker
from producers.settings import Settings


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    logging.getLogger("aiokafka").setLevel(logging.ERROR)
    told = Settings()
    own = told.model_copy(
        update={
            "home": told.home / sys.argv[1],
            "kafka_bootstrap_servers": sys.argv[2] if len(sys.argv) > 2 else told.bootstrap_servers,
        }
    )
    return worker(own, only=[])


if __name__ == "__main__":
    sys.exit(main())
