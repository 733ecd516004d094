"""A whole platform of the tests' own, started as a user starts it, and environments on it that are pushed to with git.

Everything is real: supervisor, services, NATS, PostgreSQL, engine, Traefik, registry. Nothing is left afterwards.
"""

import asyncio
import base64
import json
import os
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from cli.answers import Json
from cli.client import Api, Query
from cli.settings import Settings as ClientSettings
from embedded.home import Home
from embedded.images.provision import ensure
from embedded.postgres import SYSTEM_FOLDER
from embedded.settings import Settings
from embedded.supervisor import DAEMON, down, up
from services.deployer.settings import Settings as TargetSettings
from services.deployer.targets.local.state import TargetState
from services.deployer.targets.local.target import local_target
from shared.contracts.events import Event
from shared.contracts.places import Place
from tests.apps import App, Repository
from tests.apps.bases import Bases
from tests.apps.engine import forget_pulled
from tests.polling import until
from tests.stack import free_port

FINAL = frozenset({"succeeded", "rolled_back", "cancelled", "superseded", "denied", "failed", "stuck"})
"""States that a deployment does not leave by itself."""
PUSH_LIMIT_S = 150.0
BUILDS = {"SLIPWAY_BUILD_MEMORY_BYTES": str(1024**3)}
"""The same for all platforms here: builds of one engine share a limit, and one that allowed more would lift it for the others."""
AWAY_LIMIT_S = 30.0
"""For this long a part of the platform may be away."""


class PatientApi(Api):
    """The public API; where it says that it cannot answer just now, it is asked again, as it says."""

    def _send(self, method: str, path: str, query: Query, body: Json | None, headers: Mapping[str, str]) -> httpx.Response:
        def answered() -> httpx.Response | None:
            response = super(PatientApi, self)._send(method, path, query, body, headers)
            return None if response.status_code == httpx.codes.SERVICE_UNAVAILABLE else response

        return until(answered, within=AWAY_LIMIT_S, every=0.2, what=f"an answer to {method} {path}")


@dataclass(frozen=True)
class Platform:
    """A running platform."""

    settings: Settings
    home: Home
    bases: Bases
    folder: Path
    api: Api
    """The public API, as the first administrator."""

    @property
    def url(self) -> str:
        """Its front door."""
        return f"http://{self.settings.http}"

    @property
    def token(self) -> str:
        """The first administrator's token."""
        return self.home.token.read_text().strip()

    @property
    def target(self) -> TargetSettings:
        """How the deployer of this platform sees its target."""
        ports = self.ports
        return TargetSettings(
            home=self.home.path,
            instance=self.home.instance,
            traefik_api=f"http://127.0.0.1:{ports['traefik-api']}",
            https_port=self.settings.https_port,
            web_port=self.settings.web_port,
        )

    @property
    def ports(self) -> dict[str, int]:
        """What was chosen at the start."""
        return ports_of(self.home)

    def log(self, process: str, lines: int = 20) -> str:
        """The last lines of a process's log."""
        return "\n".join((self.home.logs / f"{process}.log").read_text().splitlines()[-lines:])

    def environment(self, project: str) -> "Environment":
        """A new project with the environment `production`, which follows the branch `main` of an empty repository."""
        self.api.post("/projects/main", {"slug": project})
        self.api.post(f"/environments/main/{project}", {"slug": "production"})
        place = Place(organization="main", project=project, environment="production")
        return Environment(self, place, Repository.create(self.folder / project))


def ports_of(home: Home) -> dict[str, int]:
    """The ports of a home's processes, by name."""
    chosen: dict[str, int] = json.loads((home.run / "ports.json").read_text())
    return chosen


@dataclass(frozen=True)
class Ended:
    """How a deployment ended, as the public API shows it."""

    id: str
    state: str
    page: Mapping[str, Any]
    steps: Mapping[str, Mapping[str, Any]]
    events: Sequence[Event]
    said: str = field(repr=False)
    """What the pusher saw."""

    @property
    def code(self) -> str:
        """The failure's code; empty where there is none."""
        failure = self.page["failure"]
        return "" if failure is None else str(failure["code"])

    @property
    def message(self) -> str:
        """What it says to its user."""
        failure = self.page["failure"]
        return "" if failure is None else str(failure["message"])

    @property
    def tail(self) -> str:
        """The last lines of what ran."""
        failure = self.page["failure"]
        return "" if failure is None else "\n".join(failure["log_tail"])

    def told(self) -> str:
        """All of it, for a test that fails."""
        lines = [f"{event.sequence} {event.name} {event.step or ''} {event.outcome or ''}" for event in self.events]
        return f"{self.id} {self.state} {self.page['reason']} {self.code}: {self.message}\n{self.tail}\n" + "\n".join(lines)


@dataclass(frozen=True)
class Environment:
    """One environment, and the repository that is pushed to it."""

    platform: Platform
    place: Place
    repository: Repository

    @property
    def api(self) -> Api:
        """The public API."""
        return self.platform.api

    def push(self, app: App) -> Ended:
        """Commits the application, pushes it to the platform's git remote, and waits for the end of its deployment."""
        commit = self.repository.commit(app)
        said = self.send()
        return self.ended(self.deployment_of(commit), said)

    def send(self) -> str:
        """`git push`, which shows the pipeline until its end; what it said. Tried again where the platform asks for that."""

        def sent() -> str | None:
            with self.start_push() as pushing:
                try:
                    said, _ = pushing.communicate(timeout=PUSH_LIMIT_S)
                finally:
                    pushing.kill()
            assert pushing.returncode == 0 or "error: 503" in said, f"{said}\n{self.platform.log('webhooks')}"
            return said if pushing.returncode == 0 else None

        return until(sent, within=AWAY_LIMIT_S, every=0.2, what="a push")

    def start_push(self) -> "subprocess.Popen[str]":
        """The same, in the background."""
        address = f"{self.platform.url}/git/{self.place.organization}/{self.place.project}.git"
        credential = base64.b64encode(f"slipway:{self.platform.token}".encode()).decode()
        words = ("git", "-c", f"http.extraHeader=Authorization: Basic {credential}", "push", "--force", address, "HEAD:refs/heads/main")
        quiet = {"GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
        return subprocess.Popen(
            words, cwd=self.repository.path, env={**os.environ, **quiet}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def deployment_of(self, commit: str, within: float = 20) -> str:
        """The deployment that came of a commit."""

        def look() -> str | None:
            query = {"organization": self.place.organization, "project": self.place.project}
            return next((str(found["id"]) for found in self.api.items("/deployments", query, most=20) if found["commit"] == commit), None)

        return until(look, within=within, what=f"a deployment of {commit} in {self.place}")

    def roll_back(self, to: str) -> Ended:
        """Rolls back by hand to a former deployment, and waits for the end."""
        where = f"/environments/{self.place.organization}/{self.place.project}/{self.place.environment}/rollback"
        request = self.api.post(where, {"to": to})["request"]
        deployment = until(lambda: self.api.get(f"/requests/{request}")["deployment"], within=20, what="the roll-back is taken")
        return self.ended(str(deployment))

    def ended(self, deployment: str, said: str = "", within: float = 120) -> Ended:
        """Waits for a deployment's end and reads all of it."""

        def look() -> Any:
            page = self.api.get(f"/deployments/{deployment}")
            return page if page["deployment"]["state"] in FINAL else None

        page = until(look, within=within, every=0.1, what=f"the end of {deployment} in {self.place}")
        events = [Event.model_validate(event) for event in self.api.items(f"/deployments/{deployment}/events")]
        shown = page["deployment"]
        return Ended(deployment, str(shown["state"]), shown, {step["step"]: step for step in page["steps"]}, events, said)

    def describe(self) -> TargetState:
        """What stands on the target for it, object by object."""

        async def look() -> TargetState:
            async with local_target(self.platform.target) as target:
                return await target.state.describe(self.place)

        return asyncio.run(look())

    def get(self, path: str = "/cgi-bin/index.cgi", service: str = "web", host: str | None = None) -> httpx.Response:
        """Asks a service through the load balancer; its certificate is verified against the local authority."""
        name = host or self.place.host(service)
        context = ssl.create_default_context(cafile=str(self.platform.home.ca / "ca.pem"))
        with httpx.Client(verify=context, trust_env=False, timeout=10) as client:
            return client.get(
                f"https://127.0.0.1:{self.platform.settings.https_port}{path}", headers={"Host": name}, extensions={"sni_hostname": name}
            )


@contextmanager
def running_platform(command: Sequence[str] = DAEMON, **environment: str) -> Iterator[Platform]:
    """Starts a platform with a home and ports of its own; `environment` is added to that of its processes."""
    folder = Path(tempfile.mkdtemp(prefix="slw-e2e-"))
    folder.chmod(0o711)
    settings = Settings(
        home=folder / "home", http=f"127.0.0.1:{free_port()}", web_port=free_port(), https_port=free_port(), nats_port=free_port()
    )
    home = Home.at(settings.home)
    try:
        with _environment(BUILDS | environment):
            up(settings, detach=True, command=command)
        registry = f"127.0.0.1:{ports_of(home)['registry']}"
        made = ensure(("shell", "postgres:18"), registry)
        bases = Bases(registry, made["shell"].reference, made["postgres:18"].reference)
        with closing(PatientApi(ClientSettings(url=f"http://{settings.http}", home=home.path))) as api:
            yield Platform(settings, home, bases, folder, api)
    finally:
        down(settings, everything=True, volumes=True)
        if (home.run / "ports.json").exists():
            forget_pulled(f"127.0.0.1:{ports_of(home)['registry']}")
        if home.instance_file.exists():
            shutil.rmtree(SYSTEM_FOLDER / home.instance, ignore_errors=True)
        shutil.rmtree(folder)


@contextmanager
def _environment(added: Mapping[str, str]) -> Iterator[None]:
    """Variables that only what is started meanwhile gets."""
    former = {name: os.environ.get(name) for name in added}
    os.environ.update(added)
    try:
        yield
    finally:
        for name, value in former.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
