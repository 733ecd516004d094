"""Gets deployments what the engine cannot give: the environment, the catalogue's word, the plan. What is wanted
stands in the deployments' rows, so a crash loses nothing; the event only makes it quick."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta

import structlog

from services.coordinator.catalogue import CatalogueBehind, CatalogueBroken, Unknown
from services.coordinator.coordinator import Coordinator
from services.coordinator.inputs import EnvironmentTaken, Input, Refused, Superseded
from services.coordinator.plan import plan_builds, plan_deployment
from services.coordinator.saga import Saga, Want
from services.coordinator.snapshot import Record
from services.coordinator.sources import Sources
from services.coordinator.store import environments, sagas
from services.coordinator.turns import turn
from shared.consumer import UNAVAILABLE, is_outage
from shared.contracts.answers import Failure

log = structlog.get_logger()
POLL_S = 1.0
PUT_OFF = timedelta(seconds=10)
"""How long a deployment is left alone that could not be served, and could not be ended for that either: a newer replica's, perhaps."""
TRIES = 30
"""How often api may fail at what a plan needs, before the deployment ends for that."""


async def drive(coordinator: Coordinator) -> None:
    """Serves wants for ever; what cannot be had now (api or database away) is tried again at the next look."""
    async with asyncio.TaskGroup() as tasks:
        sources = Sources(coordinator, tasks)
        while True:
            coordinator.wanted.clear()
            try:
                await _look(coordinator, sources)
            except UNAVAILABLE as error:
                log.warning("driver paused", error=str(error) or type(error).__name__)
                await asyncio.sleep(POLL_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await coordinator.wanted.wait()


async def _look(coordinator: Coordinator, sources: Sources) -> None:
    while coordinator.newer:
        await _older_give_way(coordinator, coordinator.newer.pop())
    async with coordinator.pool.acquire() as connection:
        wanted = {want: await sagas.waiting_for(connection, want) for want in Want}
    sources.get(wanted.pop(Want.SOURCE))
    asked = [(want, name) for want, ids in wanted.items() for name in ids]
    for result in await asyncio.gather(*(_serve(coordinator, *one) for one in asked), return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


async def _serve(coordinator: Coordinator, want: Want, deployment: str) -> None:
    """Serves one want, or puts it off. A deployment that cannot be planned ends as failed: it keeps no other waiting."""
    try:
        await _SERVERS[want](coordinator, deployment)
    except Exception as error:
        if is_outage(error):
            raise
        log.exception("want not served", deployment=deployment, want=want)
        async with coordinator.pool.acquire() as connection:
            failures = await sagas.put_off(connection, deployment, PUT_OFF)
        if want is Want.ENVIRONMENT or (isinstance(error, CatalogueBroken) and failures < TRIES):
            return
        await _end(coordinator, deployment, error)


async def _end(coordinator: Coordinator, deployment: str, error: Exception) -> None:
    """As failed, or at another look where that cannot be written."""
    message = "the deployment could not be planned; this is a defect of Slipway, its log says more"
    try:
        await _feed(coordinator, deployment, Refused(Failure(code="internal_error", message=message, details=repr(error))))
    except Exception as another:
        if is_outage(another):
            raise
        log.exception("deployment not ended", deployment=deployment)


async def _older_give_way(coordinator: Coordinator, newer: Saga) -> None:
    """Deployments that arrived before one that was just authorised end, but for those whose build is at work."""
    try:
        async with coordinator.work() as work:
            older = await environments.older_before_lock(work.connection, newer.origin.place, newer.origin.arrival)
            await work.lock_readable(older)
            for name in older:
                await work.apply(name, Superseded(by=newer.id, reason="a newer commit was pushed", by_hand=newer.origin.by_hand))
    except Exception as error:
        if is_outage(error):
            raise
        log.exception("older deployments not ended", newer=newer.id)  # they end when this one reaches the queue


async def _take_environment(coordinator: Coordinator, deployment: str) -> None:
    """Whose turn it is takes a free environment; those that have nothing to wait for any more end as superseded."""
    async with coordinator.work() as work:
        loaded = await sagas.read(work.connection, deployment)
        if loaded is None:
            return
        place = loaded.origin.place
        queued = await environments.queued_in(work.connection, place)
        if not queued:
            return
        await work.lock_readable(queued)
        environment = await environments.lock(work.connection, place)
        runs = await sagas.read(work.connection, environment.deployment) if environment.deployment else None
        now = turn([saga for name in queued if (saga := work.saga(name)) is not None and saga.wants is Want.ENVIRONMENT], runs)
        for name, newer in now.give_way.items():
            await work.apply(name, newer)
        if now.next is not None and await environments.holder(work.connection, place) is None:
            former = {name: release.id for name, release in environment.record.releases.items()}
            await work.apply(now.next, EnvironmentTaken(epoch=environment.epoch + 1, former=former))


async def _plan_builds(coordinator: Coordinator, deployment: str) -> None:
    async with coordinator.pool.acquire() as connection:
        saga = await sagas.read(connection, deployment)
        if saga is None or saga.wants is not Want.BUILDS:
            return
        record = (await environments.lock(connection, saga.origin.place)).record
    try:
        planned: Input = plan_builds(saga, await coordinator.catalogue.snapshot(saga.origin.place), record)
    except Unknown as unknown:
        planned = _unknown(unknown)
    await _feed(coordinator, deployment, planned)


async def _plan(coordinator: Coordinator, deployment: str) -> None:
    async with coordinator.pool.acquire() as connection:
        saga = await sagas.read(connection, deployment)
        if saga is None or saga.wants is not Want.PLAN:
            return
        place, goal = saga.origin.place, saga.origin.rollback_to
        environment = await environments.lock(connection, place)
        target = await environments.record_of(connection, place, goal) if goal else None
    record = environment.record
    pinned = record.pinned() + (target or Record()).pinned()
    # Where nothing runs, the environment may have been removed: the catalogue forgets it once it has heard of that.
    emptied_by = environment.deployment if record == Record() else None
    try:
        snapshot = await coordinator.catalogue.snapshot(place, pinned, emptied_by)
        planned: Input = plan_deployment(saga, snapshot, record, target)
    except CatalogueBehind as behind:
        log.info("not planned yet", deployment=deployment, reason=str(behind))
        return
    except Unknown as unknown:
        planned = _unknown(unknown)
    await _feed(coordinator, deployment, planned)


async def _feed(coordinator: Coordinator, deployment: str, message: Input) -> None:
    async with coordinator.work() as work:
        await work.lock([deployment])
        await work.apply(deployment, message)


_SERVERS: dict[Want, Callable[[Coordinator, str], Awaitable[None]]] = {
    Want.ENVIRONMENT: _take_environment,
    Want.BUILDS: _plan_builds,
    Want.PLAN: _plan,
}


def _unknown(unknown: Unknown) -> Refused:
    return Refused(Failure(code="catalogue", message=f"the catalogue says: {unknown}"))
