"""Two services in one repository: a push builds and restarts what it changed, and nothing else."""

from dataclasses import dataclass, field

import pytest

from cli.answers import Json
from shared.contracts.events import BuildPlanned, DeploymentSucceeded
from tests import apps
from tests.apps import App
from tests.apps.engine import Scratch
from tests.e2e.platform import Ended, Environment, Platform
from tests.polling import until

_DOCKER = Scratch("")


@dataclass
class Shop:
    """`api`, and `site`, which is built from the root of the repository and watches a shared folder."""

    environment: Environment
    files: App
    ran: dict[str, str] = field(default_factory=dict)
    """Service → what its container was before the last push: its id and when it was started."""

    def push(self, app: App | None = None) -> Ended:
        """Pushes the next commit, which becomes what the one after it differs from."""
        self.files = app or self.files
        self.ran = self.containers()
        return self.environment.push(self.files)

    def containers(self) -> dict[str, str]:
        """Service → its container's id, and when it was started."""
        found = self.environment.describe().services
        return {name: _container_of(state["live"]) for name, state in found.items()}

    def replaced(self) -> set[str]:
        """The services that have another container than before the last push."""
        now = self.containers()
        return {name for name in now if now[name] != self.ran.get(name)}

    def versions(self) -> dict[str, str]:
        """What each service says that it is."""
        return {name: str(self.environment.get(service=name).json()["version"]) for name in ("api", "site")}


def _container_of(live: object) -> str:
    assert isinstance(live, dict)
    return _DOCKER.docker("inspect", "--format", "{{.Id}} {{.State.StartedAt}}", str(live["container"]))


def _files(base: str) -> App:
    app = apps.monorepo(base).with_text("slipway.yaml", "build: {context: site}", "path: site\n    build: .\n    watch: [shared]")
    return app.with_text("site/Dockerfile", "COPY app /app", "COPY site/app shared /app/").with_file("shared/www/label", "one\n")


@pytest.fixture(scope="module")
def shop(platform: Platform) -> Shop:
    """Deployed once."""
    made = Shop(platform.environment("monorepo"), _files(platform.bases.shell))
    ended = made.environment.push(made.files)
    assert ended.state == "succeeded", ended.told()
    assert made.versions() == {"api": "1", "site": "1"}
    return made


def built(ended: Ended) -> tuple[str, ...]:
    """The services whose images a deployment was to build."""
    return next(fact.built for event in ended.events if isinstance(fact := event.fact(), BuildPlanned))


def items(ended: Ended) -> set[str]:
    """The services that any step was for."""
    return {name for name in ("api", "site") if any(step.endswith(f"-{name}") for step in ended.steps)}


def test_a_push_that_touches_one_service(shop: Shop) -> None:
    """It is built and replaced; the other's container is the very same, and the pusher is told that it stays."""
    ended = shop.push(shop.files.with_text("site/Dockerfile", 'VERSION="1"', 'VERSION="2"'))
    assert ended.state == "succeeded", ended.told()
    assert (built(ended), items(ended), shop.replaced()) == (("site",), {"site"}, {"site"})
    assert shop.versions() == {"api": "1", "site": "2"}
    assert "service api: unchanged, keeps release 1" in ended.said


def test_a_push_that_touches_what_one_service_watches(shop: Shop) -> None:
    """The service that watches it is built and replaced."""
    ended = shop.push(shop.files.with_file("shared/www/label", "two\n"))
    assert ended.state == "succeeded", ended.told()
    assert (built(ended), items(ended), shop.replaced()) == (("site",), {"site"}, {"site"})
    assert shop.environment.get("/label", service="site").text == "two\n"


def test_a_push_of_a_readme(shop: Shop) -> None:
    """Nothing is built or replaced, though it lies in the context of one; the end says so."""
    before = shop.environment.describe().comparable()
    ended = shop.push(shop.files.with_file("README.md", "About\n"))
    assert ended.state == "succeeded", ended.told()
    assert (built(ended), items(ended), set(ended.steps)) == ((), set(), {"authorise", "inspect"})
    assert shop.environment.describe().comparable() == before
    assert "Nothing to do: all of it runs already" in ended.said
    succeeded = ended.events[-1].fact()
    assert isinstance(succeeded, DeploymentSucceeded)
    assert not succeeded.changed


def test_the_same_commit_by_hand(shop: Shop) -> None:
    """It runs already."""
    shop.ran = shop.containers()
    ended = _by_hand(shop, "/deployments", {"organization": "main", "project": "monorepo", "environment": "production"})
    assert ended.state == "succeeded", ended.told()
    assert (items(ended), shop.replaced()) == (set(), set())


def test_all_of_it_built_anew_by_hand(shop: Shop) -> None:
    """Every service is built and replaced; the next push of the same files has nothing to do."""
    shop.ran = shop.containers()
    wish = {"organization": "main", "project": "monorepo", "environment": "production"}
    ended = _by_hand(shop, "/deployments", {**wish, "rebuild": True})
    assert ended.state == "succeeded", ended.told()
    assert (built(ended), items(ended), shop.replaced()) == (("api", "site"), {"api", "site"}, {"api", "site"})
    assert [event.data["reused"] for event in ended.events if event.name == "ImageBuilt"] == [False, False]
    after = shop.push()
    assert (after.state, items(after), shop.replaced()) == ("succeeded", set(), set()), after.told()


def test_another_variable_of_one_service(shop: Shop) -> None:
    """It is replaced, with the image that it has."""
    shop.environment.api.patch(f"{_path(shop)}/variables", {"values": {"VARIABLE": "green"}}, {"service": "api"})
    ended = _by_hand(shop, "/deployments", {"organization": "main", "project": "monorepo", "environment": "production"})
    assert ended.state == "succeeded", ended.told()
    assert (items(ended), shop.replaced()) == ({"api"}, {"api"})
    assert [event.data["reused"] for event in ended.events if event.name == "ImageBuilt"] == [True]
    assert shop.environment.get(service="api").json()["variable"] == "green"


def test_a_path_that_is_not_there(shop: Shop) -> None:
    """The push ends at once, with the line and what was meant; nothing was touched."""
    good = shop.files
    ended = shop.push(good.with_text("slipway.yaml", "watch: [shared]", "watch: [shred]"))
    assert (ended.state, ended.code, shop.replaced()) == ("failed", "manifest_invalid", set()), ended.told()
    assert "services.site.watch.0: there is no `shred` in the commit; did you mean `shared`?" in ended.message
    assert ended.message.splitlines()[0] in ended.said
    shop.files = good


def test_a_build_that_failed_is_made_again(shop: Shop) -> None:
    """What did not come about does not count: the next push builds it too, though it does not touch it."""
    broken = shop.files.with_text("site/Dockerfile", 'VERSION="2"', 'VERSION="3"').with_file("shared/www/fail", "")
    failed = shop.push(broken.with_text("site/Dockerfile", "ENTRYPOINT", "RUN test ! -e /app/www/fail\nENTRYPOINT"))
    assert (failed.state, failed.code, shop.replaced()) == ("failed", "dockerfile_failed", set()), failed.told()
    again = shop.push(shop.files.with_text("api/Dockerfile", 'VERSION="1"', 'VERSION="2"'))
    assert (again.state, built(again)) == ("failed", ("api", "site")), again.told()
    mended = shop.push(App(shop.files.name, {path: text for path, text in shop.files.files.items() if path != "shared/www/fail"}))
    assert (mended.state, shop.replaced()) == ("succeeded", {"api", "site"}), mended.told()
    assert shop.versions() == {"api": "2", "site": "3"}


def test_a_roll_back_passes_over_what_changed_nothing(shop: Shop) -> None:
    """It returns to what ran before, service by service, and touches only what runs otherwise."""
    one = shop.push(shop.files.with_text("site/Dockerfile", 'VERSION="3"', 'VERSION="4"'))
    nothing = shop.push(shop.files.with_file("README.md", "More\n"))
    assert (one.state, nothing.state) == ("succeeded", "succeeded"), nothing.told()
    shop.ran = shop.containers()
    back = _by_hand(shop, f"{_path(shop)}/rollback", {"to": None})
    assert (back.state, items(back), shop.replaced()) == ("succeeded", {"site"}, {"site"}), back.told()
    assert shop.versions() == {"api": "2", "site": "3"}
    forward = shop.push()
    assert (forward.state, items(forward)) == ("succeeded", {"site"}), forward.told()
    assert shop.versions() == {"api": "2", "site": "4"}


def _path(shop: Shop) -> str:
    place = shop.environment.place
    return f"/environments/{place.organization}/{place.project}/{place.environment}"


def _by_hand(shop: Shop, path: str, body: Json) -> Ended:
    request = shop.environment.api.post(path, body)["request"]
    deployment = until(lambda: shop.environment.api.get(f"/requests/{request}")["deployment"], within=20, what="the wish is taken")
    return shop.environment.ended(str(deployment))
