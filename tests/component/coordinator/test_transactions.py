"""Replicas at the same rows: none undoes what another has written. Only what a test begins runs here."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from nats.aio.client import Client

from services.coordinator.catalogue import Follower
from services.coordinator.changes import take_changes
from services.coordinator.coordinator import Coordinator
from services.coordinator.driver import drive
from services.coordinator.inputs import Cancelled
from services.coordinator.requests import take_requests
from services.coordinator.results import take_results
from services.coordinator.saga import DeploymentState, Limits, Saga, Step, StepState, Want
from services.coordinator.store import environments, open_requests, refs, sagas
from services.coordinator.timers import Beats, tick
from shared.bus import Bus
from shared.consumer import Received
from shared.contracts import commands as c
from shared.contracts import facts as f
from shared.contracts import requests as r
from shared.contracts.answers import Answer, Failure, Outcome
from shared.contracts.commands import Direction
from shared.contracts.manifest import Manifest, ServiceManifest
from shared.contracts.places import ChangeRequest, EnvironmentKind
from shared.messages import utc_now
from shared.outbox import Outbox
from shared.postgres import Pool, database
from shared.settings import ServiceSettings
from tests.component.coordinator.test_batches import batch, pushed
from tests.component.coordinator.world import PLACE, CatalogueInMemory
from tests.component.locks import waited_for
from tests.polling import eventually
from tests.stack import migrated, service_settings
from tests.unit.coordinator.scenario import SOURCE, Scenario, fails, origin

_AT_WORK = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND xact_start IS NOT NULL"


@pytest.fixture
async def replicas(nats_url: str, postgres_dsn: str) -> AsyncIterator[tuple[Coordinator, Coordinator]]:
    """Two, of one database."""
    await migrated(postgres_dsn, "coordinator")
    bus = await Bus.connect(service_settings(ServiceSettings, "coordinator", nats_url), "coordinator")
    async with database(postgres_dsn, "coordinator") as one, database(postgres_dsn, "coordinator") as other:
        yield _coordinator(one, bus), _coordinator(other, bus)
    await bus.close()


def _coordinator(pool: Pool, bus: Bus, **limits: timedelta) -> Coordinator:
    return Coordinator(pool, bus, Outbox("coordinator"), CatalogueInMemory(), Limits(**limits))  # type: ignore[arg-type]


async def _stored(pool: Pool, scenario: Scenario) -> Saga:
    """Its deployment, as the coordinator would have stored it by now."""
    saga = scenario.saga
    async with pool.acquire() as connection, connection.transaction():
        await sagas.insert(connection, saga)
        new = Saga(id=saga.id, origin=saga.origin, state=saga.state, created_at=saga.created_at)
        await sagas.save(connection, [(new, saga)], scenario.limits.silence)
    return saga


async def _now(pool: Pool, deployment: str = "d1") -> Saga:
    async with pool.acquire() as connection:
        saga = await sagas.read(connection, deployment)
    assert saga is not None
    return saga


def _made(name: str = "d1", arrival: int = 1, commit: str = "a", **more: object) -> Scenario:
    """A deployment of a commit to production."""
    source = SOURCE.model_copy(update={"commit": commit * 40})
    scenario = Scenario(origin=origin(**{"arrival": arrival, "source": source, "change": f"change-{name}"} | more), now=utc_now())
    scenario.saga = replace(scenario.saga, id=name)
    return scenario


def _begun(name: str = "d1", arrival: int = 1, commit: str = "a") -> Scenario:
    """One that waits to be authorised."""
    return _made(name, arrival, commit).run(lambda now: bool(now.commands))


def _wanting(scenario: Scenario, want: Want) -> Scenario:
    """Until it is the driver's turn."""
    return scenario.run(lambda now: now.saga.wants is want)


def _authorised(scenario: Scenario) -> list[Received[Answer]]:
    fact = f.DeploymentAuthorized(person="ada", rule="admin on organization main")
    return _received(scenario.answer(scenario.commands[0], Outcome.DONE, fact=fact))


def _received(answer: Answer) -> list[Received[Answer]]:
    return [Received(answer, {}, "slipway.res.local.any", 1)]


def _wished(wish: r.Request) -> list[Received[r.Request]]:
    return [Received(wish, {}, f"slipway.req.main.{wish.verb}", 1)]


@asynccontextmanager
async def _row_locked(pool: Pool, deployment: str) -> AsyncIterator[None]:
    """As by somebody who is at that deployment."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM deployments WHERE id = $1 FOR UPDATE", deployment)
        yield


@asynccontextmanager
async def _firing(coordinator: Coordinator) -> AsyncIterator[None]:
    """Its timers."""
    async with asyncio.TaskGroup() as tasks:
        timers = tasks.create_task(tick(coordinator, Beats(coordinator.bus)))
        yield
        timers.cancel()


async def _committed(pool: Pool) -> None:
    """Once nobody is in a transaction."""

    async def at_work() -> bool:
        return bool(await pool.fetchval(_AT_WORK) == 0)

    await eventually(at_work)


async def test_an_answer_takes_back_nothing_that_was_decided_meanwhile(replicas: tuple[Coordinator, Coordinator]) -> None:
    """Both wait for their turn, and the later one finds what the earlier has written: a cancelled deployment stays so."""
    one, other = replicas
    scenario = _begun()
    await _stored(one.pool, scenario)
    wish: r.Request = r.CancelRequested(organization="main", subject="ada", target_deployment="d1")
    async with asyncio.TaskGroup() as tasks, _row_locked(one.pool, "d1"):
        tasks.create_task(take_requests(one, _wished(wish)))
        await waited_for(one.pool)
        tasks.create_task(take_results(other, _authorised(scenario)))
        await waited_for(one.pool, 2)
    assert (await _now(one.pool)).state is DeploymentState.CANCELLED


async def test_a_command_that_is_taken_back_at_once_is_never_sent(replicas: tuple[Coordinator, Coordinator]) -> None:
    """Two answers come together: of what the first lets start nothing is left in the queue, since the second ends the deployment."""
    one, _ = replicas
    two = Manifest(services={"web": ServiceManifest(), "worker": ServiceManifest()})
    scenario = Scenario(manifest=two, script=lambda command: "silence" if isinstance(command, c.BuildImage) else None, now=utc_now())
    await _stored(one.pool, scenario.run(lambda now: "build-worker" in now.names()))
    web, worker = scenario.commands[-2:]
    built = scenario.answer(web, Outcome.DONE, fact=f.ImageBuilt(service="web", image=f"registry/web@sha256:{'1' * 64}"))
    failed = scenario.answer(worker, Outcome.FAILED, failure=Failure(code="broken", message="it does not compile"))
    await take_results(one, [*_received(built), *_received(failed)])
    assert (await _now(one.pool)).state is DeploymentState.FAILED
    handed, _ = one.outbox.handed()
    assert [row.subject for row in handed if row.stream == "COMMANDS"] == []


async def test_a_timer_waits_for_nobody_who_is_at_its_deployment(replicas: tuple[Coordinator, Coordinator]) -> None:
    """Those of others fire meanwhile, and its own afterwards, whichever replica comes to it."""
    one, other = replicas
    for name in ("d1", "d2"):
        await _stored(one.pool, _begun(name))
    await one.pool.execute("UPDATE deployments SET wake_at = now() - interval '1 minute'")

    async def fired(name: str) -> bool:
        return bool(await one.pool.fetchval("SELECT wake_at > now() FROM deployments WHERE id = $1", name))

    async with _row_locked(one.pool, "d1"), _firing(other):
        await eventually(lambda: fired("d2"))
        assert not await fired("d1")
    async with _firing(one):
        await eventually(lambda: fired("d1"))


async def test_an_answer_that_comes_again_moves_nothing(replicas: tuple[Coordinator, Coordinator]) -> None:
    """An undo was answered with nonsense, and the answer's acknowledgement was lost: the next attempt is not put off once more."""
    one, other = replicas
    scenario = Scenario(script=fails("check-container-web")).run(_undoes)
    await _stored(one.pool, scenario)
    undo = next(command for command in scenario.commands if command.direction is Direction.UNDO)
    nonsense = _received(scenario.answer(undo, Outcome.DONE, fact=f.ReleaseRetired(service="web")))
    await take_results(one, nonsense)
    first = (await _now(one.pool)).steps[str(undo.step)].retry_at
    await take_results(other, nonsense)
    assert (await _now(one.pool)).steps[str(undo.step)].retry_at == first is not None


def _undoes(scenario: Scenario) -> bool:
    return any(step.state is StepState.UNDOING for step in scenario.saga.steps.values())


async def test_an_older_push_waits_for_the_newer_one_that_is_being_taken(replicas: tuple[Coordinator, Coordinator]) -> None:
    """It finds that one taken, and is ignored: nothing older is deployed after it, also where no push of the ref was taken before."""
    one, other = replicas
    older, newer = pushed(1, "refs/heads/main"), pushed(2, "refs/heads/main", "b")
    ref = refs.ref_of(newer)
    async with asyncio.TaskGroup() as tasks, one.pool.acquire() as connection, connection.transaction():
        await refs.lock(connection, [ref])
        await refs.set_taken(connection, {ref: refs.Taken(newer)})
        tasks.create_task(take_changes(other, batch(older)))
        await waited_for(one.pool)
    assert await _deployments(one.pool) == 0
    async with one.pool.acquire() as connection:
        assert (await refs.last_taken(connection, [ref]))[ref].change.id == newer.id


async def _deployments(pool: Pool) -> int:
    return int(await pool.fetchval("SELECT count(*) FROM deployments"))


async def test_the_epoch_of_an_environment_only_grows(replicas: tuple[Coordinator, Coordinator]) -> None:
    """Whoever has a lower one in mind, and writes it later: what the target refuses is never given again."""
    one, other = replicas

    async def set_by(coordinator: Coordinator, epoch: int) -> int:
        async with coordinator.pool.acquire() as connection:
            await environments.set_epoch(connection, PLACE, epoch)
            return (await environments.lock(connection, PLACE)).epoch

    async with one.pool.acquire() as connection:
        await environments.lock(connection, PLACE)
    assert [await set_by(one, 7), await set_by(other, 3), await set_by(one, 8)] == [7, 7, 8]


async def test_the_newest_authorised_commit_is_of_what_arrived_last(replicas: tuple[Coordinator, Coordinator]) -> None:
    """Whichever was authorised first: where a newer one was, what an older one says afterwards takes nothing back."""
    one, other = replicas
    older, newer = _begun("d1", 1, "a"), _begun("d2", 2, "b")
    for scenario in (older, newer):
        await _stored(one.pool, scenario)
    await take_results(other, _authorised(newer))
    await take_results(one, _authorised(older))
    async with one.pool.acquire() as connection:
        assert await environments.newest_commit(connection, PLACE) == "b" * 40


async def test_while_the_bus_is_away_no_worker_is_silent(postgres_dsn: str) -> None:
    """Its beats cannot be heard: they are missed from the reconnect on, and nothing is begun anew before."""
    await migrated(postgres_dsn, "coordinator")
    silence = timedelta(seconds=0.2)
    scenario = Scenario(script=lambda _command: "hangs", now=utc_now(), limits=Limits(silence=silence))
    scenario.run(lambda now: now.saga.steps["authorise"].accepted)
    async with database(postgres_dsn, "coordinator") as pool:
        await _stored(pool, scenario)
        away = Bus(Client(), "coordinator")
        assert not away.connected
        async with _firing(_coordinator(pool, away, silence=silence)):
            later = utc_now() + 5 * silence
            step = await eventually(lambda: _looked_at(pool, later))
    assert step is not None
    assert (step.attempt, step.losses) == (1, 0)


async def _looked_at(pool: Pool, until: datetime) -> Step | None:
    """The step, once a timer that fired after that moment has looked at it."""
    step = (await _now(pool)).steps["authorise"]
    return step if step.losses or (step.beat_at is not None and step.beat_at > until) else None


async def test_a_wish_that_comes_again_is_done_once(replicas: tuple[Coordinator, Coordinator]) -> None:
    """Its acknowledgement was lost, and the other replica gets it."""
    one, other = replicas
    wish: r.Request = r.DeployRequested(organization="main", subject="ada", place=PLACE, commit="a" * 40)
    for replica in (one, other):
        await take_requests(replica, _wished(wish))
    assert await _deployments(one.pool) == 1


async def test_a_preview_is_not_removed_while_its_change_request_is_updated(replicas: tuple[Coordinator, Coordinator]) -> None:
    """Whoever is to remove it waits for that, and asks the catalogue again then."""
    one, other = replicas
    place, of = PLACE.model_copy(update={"environment": "pr-7"}), ChangeRequest(repository="github.com/acme/todo", number="7")
    preview = Follower(place, EnvironmentKind.PREVIEW, "local", "refs/heads/x", "todo", preview=True, change_request=of, removing=True)
    previews = other.catalogue.previews  # type: ignore[attr-defined]
    previews["7"] = preview
    wish: r.Request = r.ExpireRequested(organization="main", subject="slipway", place=place, reason="nobody has updated it")
    async with asyncio.TaskGroup() as tasks, one.pool.acquire() as connection, connection.transaction():
        await open_requests.lock(connection, ("main", "todo", "todo", of.repository, of.number))
        tasks.create_task(take_requests(other, _wished(wish)))
        await waited_for(one.pool)
        previews["7"] = replace(preview, removing=False)
    assert await _deployments(one.pool) == 0


async def test_whose_turn_it_is_takes_the_environment_as_it_was_left(replicas: tuple[Coordinator, Coordinator]) -> None:
    """Under an epoch above the one that is being written: the target refuses the same once more."""
    one, other = replicas
    await _stored(one.pool, _wanting(_made(), Want.ENVIRONMENT))
    async with one.pool.acquire() as connection, asyncio.TaskGroup() as tasks:
        async with connection.transaction():
            await environments.lock(connection, PLACE)
            await environments.set_epoch(connection, PLACE, 40)
            driving = tasks.create_task(drive(other))
            await waited_for(one.pool)
        assert (await eventually(lambda: _holding(one.pool))).epoch == 41
        driving.cancel()


async def _holding(pool: Pool, deployment: str = "d1") -> Saga:
    """The deployment, once it holds its environment."""
    saga = await _now(pool, deployment)
    assert saga.holds
    return saga


async def test_behind_one_that_holds_the_environment_the_older_gives_way(replicas: tuple[Coordinator, Coordinator]) -> None:
    """It has nothing to wait for, and the newer one waits on."""
    one, other = replicas
    await _stored(one.pool, _made("d1", 1).run(lambda now: now.saga.plan is not None))
    for name, arrival in (("d2", 2), ("d3", 3)):
        await _stored(one.pool, _wanting(_made(name, arrival, by_hand=True), Want.ENVIRONMENT))

    async def states() -> list[DeploymentState]:
        found = [(await _now(one.pool, name)).state for name in ("d1", "d2", "d3")]
        assert found[1] is not DeploymentState.QUEUED
        return found

    async with asyncio.TaskGroup() as tasks:
        driving = tasks.create_task(drive(other))
        assert await eventually(states) == [DeploymentState.RUNNING, DeploymentState.SUPERSEDED, DeploymentState.QUEUED]
        driving.cancel()


async def test_none_gives_way_to_one_that_is_being_cancelled(replicas: tuple[Coordinator, Coordinator]) -> None:
    """Whoever looks at the queue waits for that, and lets the older one go on."""
    one, other = replicas
    for name, arrival in (("d1", 1), ("d2", 2)):
        await _stored(one.pool, _wanting(_made(name, arrival, by_hand=True), Want.ENVIRONMENT))
    async with asyncio.TaskGroup() as tasks:
        async with one.work() as work:
            await work.lock(["d2"])
            await work.apply("d2", Cancelled(by="ada"))
            driving = tasks.create_task(drive(other))
            await waited_for(one.pool, 2)
        await eventually(lambda: _holding(one.pool))
        driving.cancel()
    assert (await _now(one.pool, "d2")).state is DeploymentState.CANCELLED


@pytest.mark.parametrize("want", [Want.SOURCE, Want.BUILDS, Want.PLAN])
async def test_what_the_driver_got_for_one_that_was_cancelled_meanwhile_changes_nothing(
    replicas: tuple[Coordinator, Coordinator], want: Want
) -> None:
    """It is fed to the deployment as that is by then."""
    one, other = replicas
    source = SOURCE.model_copy(update={"valid_until": utc_now()}) if want is Want.SOURCE else SOURCE
    await _stored(one.pool, _wanting(_made(source=source), want))
    async with asyncio.TaskGroup() as tasks:
        async with one.work() as work:
            await work.lock(["d1"])
            await work.apply("d1", Cancelled(by="ada"))
            driving = tasks.create_task(drive(other))
            await waited_for(one.pool)
        await _committed(one.pool)
        driving.cancel()
    assert (await _now(one.pool)).state is DeploymentState.CANCELLED
