"""The stream of deployments of one run: good, failing, superseded and cancelled ones, pushed with git or delivered by a forge."""

import base64
import os
import random
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from cli.failures import Failed as Refused
from shared.contracts.places import Place
from tests.apps import Repository
from tests.apps.bases import Bases
from tests.faults.strikes.applications import ENDS, Flaw, application
from tests.faults.strikes.forge import Hook
from tests.faults.strikes.load import Load
from tests.faults.strikes.machine import Machine

ACCEPT_LIMIT_S = 330.0
"""For so long a person, or a forge, tries again: more than any strike takes."""
PUSH_LIMIT_S = 240.0
KEPT = "Slipway cannot record this push just now. It is kept"
BROKEN_OFF = ("unexpected disconnect", "RPC failed", "the remote end hung up")


@dataclass
class Lane:
    """One environment: the repository that is pushed to it, and its people's requests. Commits are numbered from 1."""

    machine: Machine
    bases: Bases
    place: Place
    repository: Repository
    hook: Hook | None
    """Where its forge's deliveries go; without one it is pushed to Slipway's own remote."""
    load: Load
    rows: bool
    version: int = 0
    versions: dict[str, str] = field(default_factory=dict)
    """Commit → the version that it is of."""
    answered: int = 0
    """Requests of its people that had a good answer when it was last examined."""
    kept: int = 0
    """Rows that its application had acknowledged then."""

    def commit(self, flaw: Flaw) -> str:
        """The next version."""
        self.version += 1
        with self.machine.elsewhere:
            commit = self.repository.commit(
                application(self.bases, str(self.version), rows=self.rows, flaw=flaw), f"{self.place}: version {self.version}"
            )
        self.versions[commit] = str(self.version)
        return commit


@dataclass
class Sent:
    """One commit that was sent, and how its deployment may end."""

    lane: Lane
    commit: str
    what: str
    ends: frozenset[str]
    accepted_at: float | None = None
    """By the monotonic clock: the platform had said that it has it."""
    ended_at: float | None = None
    state: str = ""
    deployment: str = ""
    cancel: str = ""
    """The request by which it was cancelled, where the platform has taken it."""
    kept: bool = False
    """The platform said that it has it, but could not record it: what the branch is at when it can is found, this commit or a newer one."""
    broken_off: str = ""
    """What git said, where the connection broke although the platform had taken the push."""


def settling(sent: Sequence[Sent]) -> list[Sent]:
    """What leads to a Change, of what was sent in this order: all but what was kept only until a newer commit came."""
    newest = {id(one.lane): one for one in sent}
    return [one for one in sent if not one.kept or newest[id(one.lane)] is one]


@dataclass
class Stream:
    """One run's deployments, each lane in a thread of its own."""

    lanes: Sequence[Lane]
    chance: random.Random
    sent: list[Sent] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)
    _pushes: list[tuple[Sent, "subprocess.Popen[str]"]] = field(default_factory=list)

    def start(self) -> None:
        """All scripts at once, each on a lane of its own."""
        scripts: list[Callable[[Lane, random.Random], None]] = [self._good, self._failing, self._superseded, self._cancelled]
        self.chance.shuffle(scripts)
        for lane, script in zip(self.lanes, scripts, strict=True):
            thread = threading.Thread(target=self._run, args=(script, lane, random.Random(self.chance.random())), daemon=True)
            thread.start()
            self._threads.append(thread)

    @property
    def is_sent(self) -> bool:
        """Nothing more is going to be sent."""
        return not any(thread.is_alive() for thread in self._threads)

    def wait(self) -> None:
        """Until everything is accepted; what git said of its pushes is read."""
        for thread in self._threads:
            thread.join(ACCEPT_LIMIT_S + 30)
            if thread.is_alive():
                self.problems.append("a push was not accepted, whatever was tried")
        for sent, push in self._pushes:
            try:
                said, _ = push.communicate(timeout=PUSH_LIMIT_S)
            except subprocess.TimeoutExpired:
                push.kill()
                said = "it did not end"
                self.problems.append(f"git push of {sent.commit} in {sent.lane.place} did not end")
            sent.kept = KEPT in said
            if push.returncode:
                sent.broken_off = said[-400:]

    def _run(self, script: Callable[[Lane, random.Random], None], lane: Lane, chance: random.Random) -> None:
        try:
            script(lane, chance)
        except (AssertionError, OSError, subprocess.SubprocessError) as error:
            self.problems.append(f"{lane.place}: {error!r}")

    def _good(self, lane: Lane, chance: random.Random) -> None:
        self.send(lane, chance, "good", Flaw.NONE)

    def _failing(self, lane: Lane, chance: random.Random) -> None:
        flaw = chance.choice([flaw for flaw in Flaw if flaw is not Flaw.NONE])
        self.send(lane, chance, str(flaw), flaw)

    def _superseded(self, lane: Lane, chance: random.Random) -> None:
        self.send(lane, chance, "superseded", Flaw.NONE, frozenset({"superseded", "succeeded"}))
        time.sleep(chance.uniform(0.0, 1.5))
        self.send(lane, chance, "superseding", Flaw.NONE)

    def _cancelled(self, lane: Lane, chance: random.Random) -> None:
        sent = self.send(lane, chance, "cancelled", Flaw.NONE, frozenset({"cancelled", "succeeded"}))
        time.sleep(chance.uniform(0.2, 4.0))
        deadline = time.monotonic() + ACCEPT_LIMIT_S
        while not self._cancel(sent):
            assert time.monotonic() < deadline, f"the cancel of {sent.commit} was not taken within {ACCEPT_LIMIT_S:.0f} s"
            time.sleep(0.3)

    def _cancel(self, sent: Sent) -> bool:
        """Asks for it as a person would; False where nobody answers, or the deployment is not there yet."""
        place = sent.lane.place
        api = sent.lane.machine.api()
        try:
            query = {"organization": place.organization, "project": place.project}
            found = next((item for item in api.items("/deployments", query, most=10) if item["commit"] == sent.commit), None)
            if found is None:
                return False
            sent.cancel = str(api.post(f"/deployments/{found['id']}/cancel")["request"])
        except Refused as refused:
            return refused.code in {"conflict", "not-possible", "already-ended"}
        finally:
            api.close()
        return True

    def send(self, lane: Lane, chance: random.Random, what: str, flaw: Flaw, ends: frozenset[str] | None = None) -> Sent:
        """Sends the next commit of a lane until the platform has it."""
        sent = Sent(lane, lane.commit(flaw), what, ends or frozenset({ENDS[flaw]}))
        self.sent.append(sent)
        deadline, delivery = time.monotonic() + ACCEPT_LIMIT_S, str(uuid.UUID(int=chance.getrandbits(128)))
        while not (lane.hook.deliver(sent.commit, delivery, lane.version) in {200, 202} if lane.hook else self._push(sent)):
            assert time.monotonic() < deadline, f"{sent.commit} was not accepted within {ACCEPT_LIMIT_S:.0f} s"
            time.sleep(0.4)
        sent.accepted_at = time.monotonic()
        return sent

    def _push(self, sent: Sent) -> bool:
        """`git push`, which goes on showing the pipeline; True once the ref stands there."""
        lane = sent.lane
        repository = lane.machine.home.path / "repositories" / lane.place.organization / f"{lane.place.project}.git"
        push = start_push(lane)
        while push.poll() is None:
            if _head(repository) == sent.commit:
                self._pushes.append((sent, push))
                return True
            time.sleep(0.03)
        said, _ = push.communicate()
        sent.kept = KEPT in said
        return push.returncode == 0 or _head(repository) == sent.commit


def _head(repository: os.PathLike[str]) -> str:
    with suppress(OSError, subprocess.SubprocessError):
        command = ("git", "-C", os.fspath(repository), "rev-parse", "refs/heads/main")
        return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()
    return ""


def start_push(lane: Lane) -> "subprocess.Popen[str]":
    """`git push` in the background."""
    place, machine = lane.place, lane.machine
    credential = base64.b64encode(f"slipway:{machine.token}".encode()).decode()
    address = f"{machine.url}/git/{place.organization}/{place.project}.git"
    words = ("git", "-c", f"http.extraHeader=Authorization: Basic {credential}", "push", "--force", address, "HEAD:refs/heads/main")
    quiet = {"GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    return subprocess.Popen(
        words, cwd=lane.repository.path, env={**os.environ, **quiet}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def lane(machine: Machine, bases: Bases, name: str, *, rows: bool, forge: bool) -> Lane:
    """A new project with an environment `production` and a repository; on a forge with a hook, or pushed to Slipway's own remote."""
    place, hook = Place(organization="main", project=name, environment="production"), None
    api = machine.api()
    try:
        api.post("/projects/main", {"slug": name})
        api.post(f"/environments/main/{name}", {"slug": "production"})
        if forge:
            connection = {"name": name, "project": name, "forge": "github", "clone_url": f"git://127.0.0.1/faults/{name}.git"}
            hook = Hook(machine, name, str(api.post("/connections/main", connection)["secret"]))
    finally:
        api.close()
    repository = Repository.create(machine.folder / "forge" / "faults" / f"{name}.git")
    load = Load(place.host("web"), machine.settings.https_port, str(machine.home.ca / "ca.pem"), rows)
    return Lane(machine, bases, place, repository, hook, load, rows)
