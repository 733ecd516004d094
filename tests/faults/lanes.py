"""Runs cases side by side: each lane has an environment of its own and goes through one case after the other."""

import secrets
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition, Thread

from tests import apps
from tests.apps import App
from tests.e2e.platform import Ended, Environment, Platform
from tests.faults.injection import Fault, Faults
from tests.faults.table import NARROW, Case, Shape
from tests.polling import until

STEP_LIMIT_S = 60.0


@dataclass
class Lane:
    """One environment, what it runs, and how often it was deployed to."""

    platform: Platform
    faults: Faults
    environment: Environment
    shape: Shape = NARROW
    version: int = 0

    @classmethod
    def new(cls, platform: Platform, faults: Faults) -> "Lane":
        """With a release that runs."""
        lane = cls(platform, faults, platform.environment(f"p{secrets.token_hex(3)}"))
        lane.becomes(NARROW)
        return lane

    @property
    def project(self) -> str:
        """By this the participants know which faults to meet."""
        return self.environment.place.project

    def app(self, shape: Shape) -> App:
        """A release in which everything differs from the one before: code, variable, domain, memory of the database."""
        version = self.version + 1
        app = apps.with_database(self.platform.bases.postgres, version=str(version))
        hosts = f"{self.environment.place.host('web')}, {self.project}-{version}.localhost"
        app = app.with_text(
            "slipway.yaml", "    databases:", f"    domains: [{hosts}]\n    variables: {{NUMBER: '{version}'}}\n    databases:"
        )
        app = app.with_text("slipway.yaml", "storage: 1Gi", f"storage: 1Gi, memory: {256 + version % 2 * 16}Mi")
        if not shape.wide:
            return app
        aside = f"  aside:\n    image: {self.platform.bases.shell}\n    port: 8080\n    command: [httpd, -f, -p, '8080', -h, /tmp]\n    health: tcp\n"
        return app.with_text("slipway.yaml", "\ndatabases:\n", f"\n{aside}databases:\n  spare: {{engine: postgresql, version: '18'}}\n")

    def push(self, shape: Shape) -> Ended:
        """Deploys the next release; its number is used up whatever becomes of it."""
        app = self.app(shape)
        self.version += 1
        return self.environment.push(app)

    def becomes(self, shape: Shape) -> None:
        """A release of this shape runs."""
        self.faults.clear(self.project)
        ended = self.push(shape)
        assert ended.state == "succeeded", ended.told()
        self.shape = shape

    def run(self, case: Case) -> None:
        """One case, from a good release to what is expected."""
        if self.shape != case.row.before:
            self.becomes(case.row.before)
        serving, before = self.served(), self.environment.describe().comparable()
        self.faults.set(self.project, case.row.step, case.fault)
        ended = self.push(case.row.after)
        assert self.faults.fired(self.project), f"the fault did not happen\n{ended.told()}"
        assert ended.state == case.ends, ended.told()
        assert bool(ended.page["alerts"]) == case.alerts, ended.told()
        self.shape = case.shape_afterwards
        if case.fault in {Fault.SLEEPS, Fault.OVERSLEEPS}:
            self.faults.wake(self.project)
            said = until(lambda: self.faults.answer_after_sleep(self.project), within=STEP_LIMIT_S, what="the sleeper answers")
            assert said in case.answers_after_sleep, ended.told()
        if case.ends == "succeeded":
            assert self.served() == str(self.version)
            self.nothing_is_left_over()
        else:
            assert self.served() == serving
            assert self.environment.describe().comparable() == before, ended.told()

    def served(self) -> str:
        """The version that answers, over TLS and with its database."""
        answer = self.environment.get()
        assert answer.status_code == 200, answer.text
        return str(answer.json()["version"])

    def nothing_is_left_over(self) -> None:
        """One container a service and a database, one route a service, no candidate, no former release, no job."""
        state = self.environment.describe()
        services, databases = ({"web", "aside"}, {"db", "spare"}) if self.shape.wide else ({"web"}, {"db"})
        assert set(state.services) == services
        assert set(state.databases) == databases
        for service in state.services.values():
            assert (service["former"], service["candidate"]) == (None, None)
        expected = {str(_live(service)) for service in state.services.values()} | {
            str(database["container"]) for database in state.databases.values()
        }
        left = {name: container["command"] for name, container in state.containers.items() if name not in expected}
        assert not left
        assert expected <= set(state.containers)
        assert all(container["running"] for container in state.containers.values())
        assert len(state.routes) == len(services)
        assert len(state.volumes) == len(databases)


def _live(service: object) -> object:
    assert isinstance(service, dict)
    live = service["live"]
    assert isinstance(live, dict)
    return live["container"]


@dataclass
class Lanes:
    """The cases that are still to be run, and what became of the others."""

    platform: Platform
    cases: list[Case]
    results: dict[Case, "Future[None]"]
    _at_work: list[Case] = field(default_factory=list)
    _changed: Condition = field(default_factory=Condition)

    @classmethod
    def start(cls, platform: Platform, cases: Sequence[Case], number: int) -> "Lanes":
        """Begins with all of them at once."""
        lanes = cls(platform, list(cases), {case: Future() for case in cases})
        for _ in range(number):
            Thread(target=lanes._run, daemon=True).start()
        return lanes

    def _next(self, shape: Shape) -> Case | None:
        """The next one that needs no other release first, else the next one; waits while none of them goes with those at work."""
        with self._changed:
            while self.cases:
                possible = [case for case in self.cases if not any(_disturb(case, other) for other in self._at_work)]
                if possible:
                    found = next((case for case in possible if case.row.before == shape), possible[0])
                    self.cases.remove(found)
                    self._at_work.append(found)
                    return found
                self._changed.wait()
            return None

    def _ended(self, case: Case) -> None:
        with self._changed:
            self._at_work.remove(case)
            self._changed.notify_all()

    def _run(self) -> None:
        faults = Faults(self.platform.home.path / "faults")
        lane: Lane | None = None
        while (case := self._next(lane.shape if lane else NARROW)) is not None:
            result = self.results[case]
            try:
                lane = lane or Lane.new(self.platform, faults)
                lane.run(case)
            except BaseException as error:  # noqa: BLE001 -- the test of the case raises it
                result.set_exception(error)
                lane = None  # whatever stands there now is no ground for another case
            else:
                result.set_result(None)
            finally:
                self._ended(case)


def _disturb(one: Case, other: Case) -> bool:
    """A worker that dies takes those asleep in its process with it: they never wake up."""
    faults = {one.fault, other.fault}
    return Fault.DIES in faults and bool(faults & {Fault.SLEEPS, Fault.OVERSLEEPS})
