"""How long a saga takes, from its command to its final status, at each of several rates: the latency curve."""

import time
from collections.abc import Sequence

import psutil

from deploy.local.kafka import EmbeddedKafka
from tests.benchmarks.audience import Audience
from tests.benchmarks.figures import Figures, percentile
from tests.benchmarks.sagas import PARTITIONS, WORKERS, paced, saturation
from tests.benchmarks.stack import WorkerProcess, broker, workers

RATES_PER_SECOND = (5, 25, 100, 200, 400, 800)
SAGAS_MIN = 10
# The broker's JVM compiles its code for transactions only after ten thousand of them; until then one costs thrice.
WARM_UP_PER_SECOND = 100.0
# Of one core, by broker and workers together: what they take when no saga is under way, and some more.
REST_SHARE_MAX = 0.25
REST_LOOK_SECONDS = 1.0
REST_SECONDS_MAX = 60.0


def measure(
    runs: int,
    flood_number: int,
    load_seconds: float,
    warm_up_number: int,
    rates_per_second: Sequence[int] = RATES_PER_SECOND,
) -> Figures:
    """Each rate for `load_seconds`, and half the rate at which a flood of `flood_number` sagas is worked off.

    Each is measured after a pause: after a flood, broker and workers clean up for a while. Before, `warm_up_number`
    sagas at an even rate warm the broker up.
    """
    figures = Figures()
    with broker() as kafka, workers(kafka, PARTITIONS, [[]] * WORKERS) as running:
        audience = Audience(kafka.bootstrap_servers)
        try:
            saturation(audience, flood_number // 5)
            paced(audience, warm_up_number, WARM_UP_PER_SECOND)
            for _ in range(runs):
                half = saturation(audience, flood_number) / 2
                named = {f"saga_{rate}_per_second": float(rate) for rate in rates_per_second}
                for name, rate in (named | {"saga_half_load": half}).items():
                    _rest(kafka, running)
                    milliseconds = paced(audience, max(SAGAS_MIN, int(rate * load_seconds)), rate)
                    figures.note(f"{name}_p50_ms", percentile(milliseconds, 50))
                    figures.note(f"{name}_p99_ms", percentile(milliseconds, 99))
        finally:
            audience.close()
    return figures


def _rest(kafka: EmbeddedKafka, running: list[WorkerProcess]) -> None:
    """Wait until broker and workers have next to nothing to do."""
    processes = [psutil.Process(pid) for pid in (kafka.pid, *(one.pid for one in running))]
    deadline = time.monotonic() + REST_SECONDS_MAX
    while True:
        before = _cpu_seconds(processes)
        time.sleep(REST_LOOK_SECONDS)
        if _cpu_seconds(processes) - before < REST_SHARE_MAX * REST_LOOK_SECONDS or time.monotonic() > deadline:
            return


def _cpu_seconds(processes: list[psutil.Process]) -> float:
    return sum(times.user + times.system for times in (one.cpu_times() for one in processes))
