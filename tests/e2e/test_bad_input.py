"""Bad input and failure, on one environment that runs a good release with a database.

Each commit ends as it should, says what is wrong, where, and what to do; and afterwards the former release answers
with its data, and the target is object by object as it was.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from embedded.preflight import PreflightFailed
from embedded.supervisor import up
from tests import apps
from tests.apps import App
from tests.apps.engine import Scratch
from tests.e2e.platform import Ended, Environment, Platform
from tests.polling import until

_DOCKER = Scratch("")


@dataclass
class Good:
    """The environment, and its good release."""

    environment: Environment
    version: str
    visits: int = 0

    @property
    def base(self) -> str:
        """The image that its applications are built from."""
        return self.environment.platform.bases.postgres

    def app(self, **more: str) -> App:
        """The good application, which the bad ones differ from in one thing."""
        return apps.with_database(self.base, **more)

    def answers(self) -> None:
        """The good release serves over TLS, and the rows of all former visits are there."""
        said = self.environment.get()
        assert said.status_code == 200, said.text
        body = said.json()
        assert body["version"] == self.version
        assert body["visits"] > self.visits
        self.visits = body["visits"]

    def after(self, bad: App) -> Ended:
        """What became of a bad commit; nothing of it stands, and the good release has its data."""
        before = self.environment.describe().comparable()
        ended = self.environment.push(bad)
        self.is_as(before)
        return ended

    def is_as(self, before: dict[str, object]) -> None:
        """The target is as it was, object by object, and the good release serves."""
        assert self.environment.describe().comparable() == before
        self.answers()


@pytest.fixture(scope="module")
def good(platform: Platform) -> Iterator[Good]:
    """Deployed once."""
    environment = platform.environment("shop")
    release = Good(environment, "good")
    ended = environment.push(release.app(version="good"))
    assert ended.state == "succeeded", ended.told()
    release.answers()
    yield release
    release.answers()


def test_an_unknown_key_of_the_manifest(good: Good) -> None:
    """The line, and the key that was meant."""
    ended = good.after(good.app(version="2").with_text("slipway.yaml", "    port:", "    prot:"))
    assert (ended.state, ended.code) == ("failed", "manifest_invalid"), ended.told()
    assert "line 3" in ended.message
    assert "`prot`" in ended.message
    assert "`port`" in ended.message
    assert ended.message.splitlines()[0] in ended.said


def test_a_dockerfile_that_fails(good: Good) -> None:
    """Line, command, exit code, and what the command printed last."""
    bad = good.app(version="2")
    step = "RUN echo compiling; echo 'main.c:3: unknown type name' >&2; exit 7\n"
    ended = good.after(bad.with_text("Dockerfile", "ENTRYPOINT", f"{step}ENTRYPOINT"))
    assert (ended.state, ended.code) == ("failed", "dockerfile_failed"), ended.told()
    assert "Dockerfile, line 4" in ended.message
    assert "exit code 7" in ended.message
    assert "main.c:3: unknown type name" in ended.tail
    failed = next(event for event in ended.events if event.name == "BuildFailed")
    assert "main.c:3: unknown type name" in str(failed.data["failure"])


def test_a_build_that_takes_too_much_memory(good: Good) -> None:
    """It is stopped at the limit, which is named."""
    once = f"RUN echo {secrets.token_hex(4)}\n"  # else an engine that built it before has it in its cache
    greedy = "RUN head -c 3000m /dev/zero | tail >/dev/null\nRUN exit 9\n"
    ended = good.after(good.app(version="2").with_text("Dockerfile", "ENTRYPOINT", f"{once}{greedy}ENTRYPOINT"))
    assert (ended.state, ended.code) == ("failed", "build_out_of_memory"), ended.told()
    assert "Dockerfile, line 5" in ended.message
    assert "1024 MiB" in ended.message


def test_an_application_that_crashes_at_start(good: Good) -> None:
    """Its exit code and its last lines."""
    script = "#!/bin/sh\necho reading the configuration\necho cannot find /etc/app.conf >&2\nexit 3\n"
    ended = good.after(good.app(version="2").with_file("app/serve.sh", script))
    assert (ended.state, ended.code) == ("rolled_back", "crashed_at_start"), ended.told()
    assert "exit code 3" in ended.message
    assert "cannot find /etc/app.conf" in ended.tail


def test_an_application_on_another_port(good: Good) -> None:
    """The port that it should, and the one that it does listen on."""
    bad = good.app(version="2").with_text("Dockerfile", "LISTEN=8080", "LISTEN=9090")
    ended = good.after(bad.with_text("slipway.yaml", "start_period: 10s", "start_period: 1s"))
    assert (ended.state, ended.code) == ("rolled_back", "wrong_port"), ended.told()
    assert "8080" in ended.message
    assert "9090" in ended.message


def test_an_application_that_is_killed_for_memory(good: Good) -> None:
    """The limit, and the key that raises it."""
    ended = good.after(good.app(version="2").with_file("app/serve.sh", "#!/bin/sh\necho loading the model\nexec tail /dev/zero\n"))
    assert (ended.state, ended.code) == ("rolled_back", "out_of_memory"), ended.told()
    assert "64 MiB" in ended.message
    assert "resources.memory" in ended.message


def test_an_application_that_is_never_healthy(good: Good) -> None:
    """What was asked, and what came."""
    unhealthy = "#!/bin/sh\nprintf 'Status: 500 Internal Server Error\\r\\n\\r\\n'\n"
    bad = good.app(version="2").with_file("app/www/cgi-bin/health", unhealthy)
    ended = good.after(bad.with_text("slipway.yaml", "start_period: 10s", "start_period: 1s"))
    assert (ended.state, ended.code) == ("rolled_back", "unhealthy"), ended.told()
    assert "/cgi-bin/health" in ended.message
    assert "500" in ended.message


def test_a_migration_that_fails(good: Good) -> None:
    """Its command, exit code and last lines; its own undo has taken back what it had done."""
    ended = good.after(apps.failing_migration(good.base))
    assert (ended.state, ended.code) == ("rolled_back", "job_failed"), ended.told()
    assert "/app/migrate.sh" in ended.message
    assert "exit code 1" in ended.message
    assert 'relation "nowhere" does not exist' in ended.tail
    assert ended.page["kept"] == ["job migrate ran: rows that it wrote stay, its undo has run"]
    tables = _query(good.environment, "SELECT count(*) FROM pg_tables WHERE tablename = 'half_done'")
    assert tables == "0"


def test_a_database_version_that_does_not_exist(good: Good) -> None:
    """Which there are."""
    ended = good.after(good.app(version="2").with_text("slipway.yaml", "jobs:", '  archive: {engine: postgresql, version: "99"}\njobs:'))
    assert (ended.state, ended.code) == ("rolled_back", "database_version_unknown"), ended.told()
    assert "archive" in ended.message
    assert "99" in ended.message
    assert "18" in ended.message


@pytest.mark.parametrize(("asked", "named"), [({"major": "15"}, "15"), ({"storage": "512Mi"}, "512")])
def test_a_change_of_the_database_that_has_no_way_back(good: Good, asked: dict[str, str], named: str) -> None:
    """Refused before anything is touched."""
    ended = good.after(good.app(version="2", **asked))
    assert (ended.state, ended.code) == ("failed", "database_no_way_back"), ended.told()
    assert "database db" in ended.message
    assert named in ended.message


def test_two_services_of_one_manifest_with_one_domain(good: Good) -> None:
    """Line, and both services."""
    other = "  other:\n    port: 8080\n    domains: [shop.localhost]\ndatabases:"
    bad = good.app(version="2").with_text("slipway.yaml", "    databases: [db]", "    databases: [db]\n    domains: [shop.localhost]")
    ended = good.after(bad.with_text("slipway.yaml", "\ndatabases:", f"\n{other}"))
    assert (ended.state, ended.code) == ("failed", "manifest_invalid"), ended.told()
    assert "shop.localhost" in ended.message
    assert "`web`" in ended.message
    assert "line" in ended.message


def test_a_domain_of_another_project(good: Good) -> None:
    """A name belongs to one service: the second to ask for it is told whose it is."""
    host = good.environment.place.host("web")
    other = good.environment.platform.environment("thief")
    app = apps.good(good.environment.platform.bases.shell)
    before = good.environment.describe().comparable()
    ended = other.push(app.with_text("slipway.yaml", "    port:", f"    domains: [{host}]\n    port:"))
    # The plan refuses it, before anything is touched.
    assert (ended.state, ended.code) == ("failed", "domain_taken"), ended.told()
    assert host in ended.message
    assert "shop" in ended.message
    left = other.describe()
    assert (left.containers, left.services, left.routes, left.domains, left.certificates) == ({}, {}, {}, {}, {})
    good.is_as(before)


def test_a_port_that_is_taken(good: Good) -> None:
    """`slipway up` says which, by whom, and what to do, and starts nothing."""
    platform = good.environment.platform
    elsewhere = platform.folder / "elsewhere"
    with pytest.raises(PreflightFailed) as caught:
        up(platform.settings.model_copy(update={"home": elsewhere}), detach=True)
    said = str(caught.value)
    assert str(platform.settings.https_port) in said
    assert "traefik" in said
    assert not elsewhere.exists()
    good.answers()


def test_an_image_that_was_deleted_by_hand(good: Good) -> None:
    """A roll-back to a release whose image is gone everywhere says so and ends where it began."""
    environment = good.environment
    first = environment.push(good.app(version="good").with_file("app/www/first", "1\n"))
    assert first.state == "succeeded", first.told()
    image = _image(environment)
    second = environment.push(good.app(version="good"))
    assert second.state == "succeeded", second.told()
    _DOCKER.docker("rmi", "--force", image)  # from the engine only: the registry still has it
    reached = environment.roll_back(first.id)
    assert reached.state == "succeeded", reached.told()
    back = environment.roll_back(second.id)
    assert back.state == "succeeded", back.told()
    _delete_everywhere(image)
    before = environment.describe().comparable()
    ended = environment.roll_back(first.id)
    assert (ended.state, ended.code) == ("rolled_back", "image_missing"), ended.told()
    assert "not in the registry any more" in ended.message
    assert "deploy the commit again" in ended.message
    good.is_as(before)


def test_a_container_stopped_by_hand_in_mid_deployment(good: Good) -> None:
    """Somebody ends the candidate while it is checked."""
    environment = good.environment
    slow = good.app(version="2").with_text("app/serve.sh", "#!/bin/sh\n", "#!/bin/sh\necho warming up\nsleep 8\n")
    before = environment.describe().comparable()
    commit = environment.repository.commit(slow)
    pushing = environment.start_push()
    candidate = until(lambda: _candidate(environment), within=30, what="the candidate runs")
    _DOCKER.docker("stop", "--time", "0", candidate)
    said, _ = pushing.communicate(timeout=60)
    ended = environment.ended(environment.deployment_of(commit), said)
    assert (ended.state, ended.code) == ("rolled_back", "stopped_from_outside"), ended.told()
    assert "stopped by somebody" in ended.message
    good.is_as(before)


def _query(environment: Environment, statement: str) -> str:
    """Asks the environment's database, in its container."""
    container = str(environment.describe().databases["db"]["container"])
    return _DOCKER.docker("exec", container, "psql", "-U", "db", "-d", "db", "-qAtc", statement)


def _image(environment: Environment) -> str:
    live = environment.describe().services["web"]["live"]
    assert isinstance(live, dict)
    return _DOCKER.docker("inspect", "--format", "{{.Config.Image}}", str(live["container"]))


def _candidate(environment: Environment) -> str | None:
    state = environment.describe()
    candidate = state.services["web"]["candidate"]
    if not isinstance(candidate, dict):
        return None
    name = str(candidate["container"])
    return name if state.containers[name]["running"] else None


def _delete_everywhere(image: str) -> None:
    """From the engine and from the registry."""
    _DOCKER.docker("rmi", "--force", image)
    registry, _, rest = image.partition("/")
    repository, _, digest = rest.partition("@")
    answer = httpx.delete(f"http://{registry}/v2/{repository}/manifests/{digest}")
    assert answer.status_code == 202, answer.text
