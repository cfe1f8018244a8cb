"""One part under supervision: started when what it needs is there, started again when it has died."""

from dataclasses import dataclass, replace
from typing import Literal

from deploy.local.child import Child, adopt_child, start_child
from deploy.local.errors import StackError
from deploy.local.parts import Part
from deploy.local.records import end, living
from deploy.local.wiring import Wiring

FIRST_DELAY_SECONDS = 0.2
MOST_DELAY_SECONDS = 5.0
HEALTHY_AFTER_SECONDS = 30.0

State = Literal["waiting", "starting", "running", "backing off", "stopped"]


@dataclass(frozen=True)
class Report:
    """What can be said of a part now; `cause` is why it last ended or could not start."""

    name: str
    pid: int | None
    state: State
    starts: int
    cause: str | None


class Watched:
    """The life of one part; told the time, so that it can be tested without waiting."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.child: Child | None = None
        self.report = Report(part.name, None, "waiting", 0, None)
        self._delay_seconds = FIRST_DELAY_SECONDS
        self._not_before_seconds = 0.0
        self._running_since_seconds = 0.0

    @property
    def ready(self) -> bool:
        return self.report.state == "running"

    def adopt(self, wiring: Wiring) -> None:
        """Take over what a supervisor before us started."""
        self.child = adopt_child(self.part.name, wiring.places)
        if self.child is not None:
            self._say("starting")

    def observe(self, wiring: Wiring, now_seconds: float) -> None:
        """Look whether it lives and is ready; a part that was told addresses which are no longer true is ended."""
        if self.child is None:
            return
        if not self.child.alive():
            code = self.child.exit_code
            self._lost("ended" if code is None else f"ended with exit code {code}", now_seconds)
        elif self.child.record.wiring != self._fingerprint(wiring):
            self.end_at_once()
            self._say("waiting")
        elif not self.ready:
            if self.part.ready(wiring, self.child.pid):
                self._running_since_seconds = now_seconds
                self._say("running")
        elif now_seconds - self._running_since_seconds > HEALTHY_AFTER_SECONDS:
            self._delay_seconds = FIRST_DELAY_SECONDS

    def due(self, needs_ready: bool, now_seconds: float) -> bool:
        """Whether it is to be started now."""
        if self.child is not None or now_seconds < self._not_before_seconds:
            return False
        if not needs_ready:
            self._say("waiting")
        return needs_ready

    def start(self, wiring: Wiring, now_seconds: float) -> None:
        """Start it; a failure is remembered as its cause and tried again later, like a death."""
        places, name = wiring.places, self.part.name
        try:
            places.ready_file(name).unlink(missing_ok=True)
            launch = self.part.launch(wiring)
            if self.part.told:
                launch = replace(launch, environment={**launch.environment, **wiring.environment})
            ports = {port: wiring.ports[port] for port in self.part.ports}
            self.child = start_child(name, launch, places, ports, self._fingerprint(wiring))
        except (StackError, OSError) as error:
            self._lost(str(error), now_seconds)
            return
        self.report = replace(self.report, starts=self.report.starts + 1)
        self._say("starting")

    def end_at_once(self) -> None:
        """End it and wait, killing it if need be."""
        if self.child is not None:
            running = living(self.child.record)
            end([running] if running is not None else [], self.part.stop_timeout_seconds)
            self.child.kill()
            self.child = None

    def forget(self, wiring: Wiring) -> None:
        """Say that it has been stopped for good."""
        self.child = None
        wiring.places.record(self.part.name).unlink(missing_ok=True)
        wiring.places.ready_file(self.part.name).unlink(missing_ok=True)
        self._say("stopped")

    def _fingerprint(self, wiring: Wiring) -> str:
        return wiring.fingerprint(self.part.ports, self.part.told)

    def _lost(self, cause: str, now_seconds: float) -> None:
        self.child = None
        self._not_before_seconds = now_seconds + self._delay_seconds
        self._delay_seconds = min(2 * self._delay_seconds, MOST_DELAY_SECONDS)
        self.report = replace(self.report, cause=cause)
        self._say("backing off")

    def _say(self, state: State) -> None:
        self.report = replace(self.report, state=state, pid=self.child.pid if self.child is not None else None)
