"""The example as its user would run it, on the real engine and a real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from embedded.images.provision import ensure
from tests.apps.engine import Scratch, scratch
from tests.polling import eventually

TODO = Path(__file__).parents[3] / "examples" / "todo"
_MIGRATE = ("node", "migrate.js")


@dataclass(frozen=True)
class Todo:
    """The example's image, and a database of its own."""

    engine: Scratch
    image: str
    address: str

    def run(self, *command: str, deployment: str = "") -> str:
        """Start a container with the address of the database; its name."""
        env = ("--env", f"DATABASE_URL={self.address}", "--env", "PORT=3000", "--env", f"SLIPWAY_DEPLOYMENT={deployment}")
        return self.engine.run(self.image, *command, options=("--memory", "256m", *env))

    def job(self, *command: str, deployment: str = "") -> tuple[int, str]:
        """Run a command to its end; exit code and what it printed."""
        container = self.run(*command, deployment=deployment)
        return self.engine.wait(container), self.engine.logs(container)

    @asynccontextmanager
    async def client(self, container: str) -> AsyncIterator[httpx.AsyncClient]:
        """A client of a container that answers."""
        base = f"http://{self.engine.address(container)}:3000"

        async with httpx.AsyncClient(base_url=base, trust_env=False) as client:

            async def answers() -> bool:
                try:
                    return (await client.get("/api/version")).is_success
                except httpx.TransportError as error:
                    raise AssertionError(f"{error!r}: {self.engine.logs(container)}") from error

            await eventually(answers, within=30)
            yield client


@pytest.fixture(scope="module")
def image(registry: str) -> Iterator[tuple[Scratch, str]]:
    """The example, built on the Node image as Slipway would where no public one can be pulled."""
    node = ensure(["node"], registry)["node"].reference
    with scratch() as builder:
        # npm asks the package registry; the host's network works with a resolver on loopback too.
        yield builder, builder.build(TODO, "--build-arg", f"NODE_IMAGE={node}", network="host")


@pytest.fixture
async def todo(registry: str, engine: Scratch, image: tuple[Scratch, str]) -> Todo:
    """The image with an empty database."""
    postgres = ensure(["postgres:18"], registry)["postgres:18"].reference
    database = engine.run(postgres, options=("--tmpfs", "/var/lib/postgresql:uid=999,mode=700", "--env", "POSTGRES_PASSWORD=pw"))

    async def ready() -> bool:
        ended = engine.wait(engine.run(postgres, "pg_isready", "--host", engine.address(database)))
        return ended == 0

    await eventually(ready, within=30, every=0.2)
    return Todo(engine, image[1], f"postgresql://postgres:pw@{engine.address(database)}/postgres")


def test_its_own_unit_tests_pass(registry: str, engine: Scratch) -> None:
    """`npm test` needs neither its dependencies nor a database."""
    node = ensure(["node"], registry)["node"].reference
    script = "cd /todo && node --test test/*.test.js"
    container = engine.run(node, "sh", "-c", script, options=("--volume", f"{TODO}:/todo:ro"))
    assert engine.wait(container) == 0, engine.logs(container)


async def test_page_and_api(todo: Todo) -> None:
    """After the migration entries are added, changed, shown escaped and removed; the health check follows the database."""
    container = todo.run()
    async with todo.client(container) as client:
        assert (await client.get("/healthz")).status_code == 503
        assert todo.job(*_MIGRATE, deployment="d1")[0] == 0
        assert (await client.get("/healthz")).status_code == 200
        added = (await client.post("/api/todos", json={"title": "<Milch> 🥛"})).json()
        changed = (await client.patch(f"/api/todos/{added['id']}", json={"done": True})).json()
        assert changed["done"] is True
        assert changed["completed_at"] is not None
        reopened = (await client.patch(f"/api/todos/{added['id']}", json={"done": False})).json()
        assert reopened["completed_at"] is None
        page = await client.get("/")
        assert "&lt;Milch&gt; 🥛" in page.text
        assert page.headers["x-app-version"] in page.text
        assert (await client.delete(f"/api/todos/{added['id']}")).status_code == 204
        assert (await client.get("/api/todos")).json() == []


async def test_an_undo_takes_back_its_own_deployment_only(todo: Todo) -> None:
    """A later deployment's undo leaves what an earlier one applied; without a deployment nothing is undone."""
    assert todo.job(*_MIGRATE, deployment="d1")[0] == 0
    assert todo.job(*_MIGRATE, deployment="d2")[0] == 0
    code, words = todo.job(*_MIGRATE, "--undo", deployment="d2")
    assert code == 0
    assert "taken back" not in words
    code, words = todo.job(*_MIGRATE, "--undo")
    assert code == 1
    assert "SLIPWAY_DEPLOYMENT" in words
    assert todo.job(*_MIGRATE, "--undo", deployment="d1")[1].count("taken back") == 2


async def test_two_migrations_at_once_apply_each_once(todo: Todo) -> None:
    """A redelivered command may run the job twice: one waits for the other and finds nothing to do."""
    both = [todo.run(*_MIGRATE, deployment="d1") for _ in range(2)]
    assert [todo.engine.wait(container) for container in both] == [0, 0]
    assert sum(todo.engine.logs(container).count('"applied"') for container in both) == 2


async def test_requests_are_answered_while_it_stops(todo: Todo) -> None:
    """Requests that arrive after SIGTERM are answered, on connections that close then, and it ends by itself with 0."""
    assert todo.job(*_MIGRATE, deployment="d1")[0] == 0
    container = todo.run()
    async with todo.client(container) as client:
        stopping = asyncio.create_task(asyncio.to_thread(todo.engine.docker, "stop", "--time", "9", container))
        served_while_stopping = 0
        while served_while_stopping < 5:
            answer = await client.get("/api/todos")
            assert answer.status_code == 200
            served_while_stopping += answer.headers["connection"] == "close"
        await stopping
    assert todo.engine.wait(container) == 0
    assert '"stopped"' in todo.engine.logs(container)
