"""What must not happen to the coordinator, whatever one deployment is like."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from services.coordinator import driver, telling
from services.coordinator.saga import Want
from services.coordinator.store import sagas
from shared import consumer
from shared.contracts.commands import Command
from shared.contracts.manifest import JobManifest, Manifest, ServiceManifest
from shared.contracts.requests import CancelRequested
from shared.postgres import Connection
from tests.component.coordinator.world import World, world
from tests.polling import eventually
from tests.unit.coordinator.scenario import TODO

UNKNOWN_DATABASE = Manifest(services={"web": ServiceManifest(port=3000, databases=("nothing",))})
CIRCLE = Manifest(
    services={"web": ServiceManifest(port=3000)},
    jobs={
        "one": JobManifest(service="web", command=("x",), depends_on=("two",)),
        "two": JobManifest(service="web", command=("x",), depends_on=("one",)),
    },
)


@pytest.mark.parametrize("manifest", [UNKNOWN_DATABASE, CIRCLE])
async def test_a_deployment_that_cannot_be_planned_fails_alone(nats_url: str, postgres_dsn: str, manifest: Manifest) -> None:
    """It ends, the environment is free, and the next one is planned."""
    async with world(nats_url, postgres_dsn) as made:
        made.manifest = manifest
        await made.push("a")
        failed = await made.event("DeploymentFailed")
        assert failed.data["failure"]["code"] == "internal_error"  # type: ignore[call-overload, index]
        made.manifest = TODO
        await made.push("b")
        await made.event("DeploymentSucceeded")


@asynccontextmanager
async def _hanging(nats_url: str, postgres_dsn: str) -> AsyncIterator[tuple[World, str]]:
    """A world with a first deployment, whose inspection does not end. It is taken away in the end: whatever it is, nobody waits for it."""

    def script(command: Command) -> str | None:
        return "hangs" if command.step == "inspect" and first in {None, command.deployment} else None

    first = None
    async with world(nats_url, postgres_dsn) as made:
        made.script = script
        await made.push("a")
        first = (await made.event("DeploymentCreated")).deployment
        assert first is not None
        await made.event("StepStarted", first)
        yield made, first
        await made.coordinator.pool.execute("DELETE FROM deployments WHERE id = $1", first)


_UNKNOWN_STEP = (
    """jsonb_set(jsonb_set(progress, '{steps,inspect,kind}', '"unknown"'), '{steps,inspect,give_up_at}', '"2026-01-01T00:00:00Z"')"""
)
_UNREADABLE = """jsonb_set(progress, '{steps}', '"none"')"""
_NEWER = """progress || '{"new": 1}'"""
_NEWER_STEP = """jsonb_set(progress, '{steps,inspect,new}', '1')"""


@pytest.mark.parametrize(
    "broken", [_UNKNOWN_STEP, _UNREADABLE, _NEWER, _NEWER_STEP], ids=["unknown step", "unreadable", "newer", "newer step"]
)
async def test_a_timer_that_cannot_be_served_keeps_no_other_from_firing(nats_url: str, postgres_dsn: str, broken: str) -> None:
    """A deployment whose state no longer fits its timers, or that cannot be read, or not all of it, is put off, and the others go on."""
    async with _hanging(nats_url, postgres_dsn) as (made, first):
        pool = made.coordinator.pool
        await pool.execute(f"UPDATE deployments SET wake_at = now(), progress = {broken} WHERE id = $1", first)  # noqa: S608
        await made.push("b")
        await made.event("DeploymentSucceeded")

        async def put_off() -> bool:
            left: timedelta = await pool.fetchval("SELECT wake_at - now() FROM deployments WHERE id = $1", first)
            return left > timedelta(seconds=30)

        await eventually(put_off)
        left = f"SELECT progress = {broken} FROM deployments WHERE id = $1"  # noqa: S608
        assert await pool.fetchval(left, first)  # nothing that a newer version wrote is lost


async def test_what_is_about_a_deployment_that_only_a_newer_replica_can_read_is_left_to_it(
    nats_url: str, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often an old one gets it meanwhile: it is no dead letter, and is handled in the end."""
    for pause in ("DELAY_S", "UNKNOWN_DELAY_S"):
        monkeypatch.setattr(consumer, pause, 0.02)
    monkeypatch.setattr(consumer, "UNKNOWN_TRIES", consumer.DEADLY)
    async with _hanging(nats_url, postgres_dsn) as (made, first):
        pool = made.coordinator.pool
        await pool.execute(f"UPDATE deployments SET progress = {_NEWER} WHERE id = $1", first)  # noqa: S608
        with capture_logs() as lines:
            await made.request(CancelRequested(organization="main", subject="ada", target_deployment=first))

            async def came_often() -> bool:
                return [line["event"] for line in lines].count("message came again") > consumer.TRIES

            await eventually(came_often)
            await pool.execute("UPDATE deployments SET progress = progress - 'new' WHERE id = $1", first)
            await made.event("DeploymentCancelled", first)
        assert "dead letter" not in [line["event"] for line in lines]


@pytest.mark.parametrize("want", [Want.PLAN, Want.BUILDS, Want.ENVIRONMENT])
async def test_what_cannot_be_served_keeps_no_other_waiting(nats_url: str, postgres_dsn: str, want: Want) -> None:
    """A deployment that cannot be read is left alone, also by those that come after it into its environment."""
    async with _hanging(nats_url, postgres_dsn) as (made, first):
        pool = made.coordinator.pool
        statement = f"UPDATE deployments SET wake_at = NULL, state = 'queued', wants = $2, progress = {_UNREADABLE} WHERE id = $1"  # noqa: S608
        await pool.execute(statement, first, want)
        for count, commit in enumerate("bcd", start=1):
            await made.push(commit)
            await made.event("DeploymentSucceeded", count=count)
        assert await pool.fetchval("SELECT wants FROM deployments WHERE id = $1", first) == want
        await telling.measure_live(pool)
        assert REGISTRY.get_sample_value("slipway_deployments_put_off") == 1


async def test_a_deployment_that_cannot_be_written_keeps_no_timer_from_firing(nats_url: str, postgres_dsn: str) -> None:
    """They are fired one by one then."""
    async with _hanging(nats_url, postgres_dsn) as (made, first):
        pool = made.coordinator.pool
        await pool.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;"
            "CREATE TRIGGER refuse BEFORE UPDATE OF progress ON deployments FOR EACH ROW "
            f"WHEN (NEW.id = '{first}') EXECUTE FUNCTION refuse()"
        )
        await pool.execute("UPDATE deployments SET wake_at = now() - interval '1 day' WHERE id = $1", first)

        async def put_off() -> bool:
            left: timedelta = await pool.fetchval("SELECT wake_at - now() FROM deployments WHERE id = $1", first)
            return left > timedelta(seconds=30)

        await eventually(put_off)
        await made.push("b", ref="refs/heads/main")
        await made.event("DeploymentSucceeded")
        await pool.execute("DROP TRIGGER refuse ON deployments")


@pytest.mark.parametrize(("failures", "end"), [(2, "DeploymentSucceeded"), (1000, "DeploymentFailed")])
async def test_what_api_fails_at_is_tried_for_a_while_and_keeps_no_other_waiting(
    nats_url: str, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch, failures: int, end: str
) -> None:
    """Then the deployment ends for it."""
    monkeypatch.setattr(driver, "PUT_OFF", timedelta(seconds=0.1))
    monkeypatch.setattr(driver, "POLL_S", 0.1)
    monkeypatch.setattr(driver, "TRIES", 4)
    async with world(nats_url, postgres_dsn) as made:
        made.catalogue.fails = failures
        await made.push("a")
        ended = await made.event(end)
        made.catalogue.fails = 0
        await made.push("b")
        await made.event("DeploymentSucceeded", count=2 if end == "DeploymentSucceeded" else 1)
    assert ended.sequence is not None


async def test_a_change_sent_again_after_a_newer_one_is_settled_as_it_was(nats_url: str, postgres_dsn: str) -> None:
    """It was taken: its pusher is not told that it was ignored."""
    async with world(nats_url, postgres_dsn) as made:
        change = await made.push("a")
        first = await made.event("DeploymentSucceeded")
        await made.push("b")
        await made.event("DeploymentSucceeded", count=2)
        await made.send(change, message_id="again")
        settled = await made.event("ChangeTaken", count=3)
        assert (settled.data["change"], settled.data["deployments"]) == (change.id, [first.deployment])


async def _queued(connection: Connection, name: str, environment: str, arrival: int, *, holds: bool) -> None:
    state, wants = ("running", None) if holds else ("queued", Want.ENVIRONMENT)
    await connection.execute(
        "INSERT INTO deployments (id, organization, project, environment, state, holds, wants, arrival, origin, progress) "
        "VALUES ($1, 'main', 'todo', $2, $3, $4, $5, $6, '{}', '{}')",
        name, environment, state, holds, wants, arrival,
    )  # fmt: skip


async def test_held_environments_keep_no_free_one_waiting(nats_url: str, postgres_dsn: str) -> None:
    """What queues behind held environments fills no look of the driver; two that queue for one are looked at, to end the older."""
    async with world(nats_url, postgres_dsn) as made, made.coordinator.pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await _queued(connection, "free", "e0", 1, holds=False)
        for place in range(1, 4):
            await _queued(connection, f"holder{place}", f"e{place}", 2, holds=True)
            await _queued(connection, f"waits{place}", f"e{place}", 10 + place, holds=False)
        assert await sagas.waiting_for(connection, Want.ENVIRONMENT, limit=2) == ["free"]
        await _queued(connection, "newer3", "e3", 20, holds=False)
        assert await sagas.waiting_for(connection, Want.ENVIRONMENT) == ["newer3", "waits3", "free"]
        await transaction.rollback()
