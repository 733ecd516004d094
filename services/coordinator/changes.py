"""Changes of webhooks: a deployment for each environment that follows the ref. Every change is settled, with the reason."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from services.coordinator import store
from services.coordinator.catalogue import Follower, Unknown
from services.coordinator.coordinator import Coordinator
from services.coordinator.inputs import Begin
from services.coordinator.saga import DeploymentState, Origin, Saga
from services.coordinator.work import UnitOfWork
from shared import inbox
from shared.consumer import Received
from shared.contracts.changes import ChangePushed, FoundBy
from shared.contracts.commands import Source
from shared.contracts.events import ChangeIgnored, ChangeTaken, Event
from shared.contracts.releases import ReleaseKind
from shared.messages import new_id
from shared.telemetry import span, traceparent


async def take_changes(coordinator: Coordinator, batch: Sequence[Received[ChangePushed]]) -> None:
    """Handles a batch of CHANGES, one transaction a change."""
    for item in batch:
        with span("take change", item.headers, change=item.message.id):
            await _take_one(coordinator, item.message)


async def _take_one(coordinator: Coordinator, change: ChangePushed) -> None:
    try:
        followers = await coordinator.catalogue.followers(change.organization, change.project, change.connection, change.ref)
        sources = await _sources(coordinator, change, followers)
    except Unknown as unknown:
        async with coordinator.work() as work:
            await inbox.take(work.connection, [change.id])
            _ignore(work, change, str(unknown))
        return
    async with coordinator.work() as work:
        await _take(work, change, followers, sources)


async def _sources(coordinator: Coordinator, change: ChangePushed, followers: Sequence[Follower]) -> dict[str, Source]:
    """Where each target's builder clones from."""
    ask = partial(coordinator.catalogue.source, change.organization, change.project, change.connection)
    return {target: await ask(target, change.ref, change.commit) for target in {follower.target for follower in followers}}


async def _take(work: UnitOfWork, change: ChangePushed, followers: Sequence[Follower], sources: Mapping[str, Source]) -> None:
    new = await inbox.take(work.connection, [change.id])
    await store.lock_ref(work.connection, change)
    last = await store.last_taken(work.connection, change.organization, change.project, change.connection, change.ref)
    if not new:
        await _settle_again(work, change)
    elif last is not None and _same(last, change) and not _by_hand(change):
        _ignore(work, change, "this commit is the last one taken of the ref already")
    elif last is not None and last.arrival >= change.arrival:
        _ignore(work, change, "a newer change of the ref was taken before it")
    elif not followers:
        await store.set_taken(work.connection, change, ())
        _ignore(work, change, f"no environment of {change.organization}/{change.project} follows {change.ref}")
    else:
        sagas = [await _create(work, change, follower, sources[follower.target]) for follower in followers]
        await store.set_taken(work.connection, change, sagas)
        _settle(work, change, ChangeTaken(change=change.id, deployments=tuple(sagas), ref=change.ref, commit=change.commit))


def _same(last: store.Taken, change: ChangePushed) -> bool:
    return (last.repository, last.commit) == (change.repository, change.commit)


def _by_hand(change: ChangePushed) -> bool:
    """Somebody had its delivery read again, and means it, also where the commit was deployed before."""
    return change.found_by is FoundBy.REDELIVERY


async def _create(work: UnitOfWork, change: ChangePushed, follower: Follower, source: Source) -> str:
    origin = Origin(
        place=follower.place,
        environment_kind=follower.kind,
        target=follower.target,
        kind=ReleaseKind.DEPLOY,
        arrival=await store.next_arrival(work.connection),
        connection=change.connection,
        source=source,
        pusher=change.pusher,
        change=change.id,
        title=change.title,
        author=change.author,
        web_url=change.web_url,
        needs_approval=follower.needs_approval,
        by_hand=_by_hand(change),
    )
    return await create(work, origin, cause=change.id)


async def create(work: UnitOfWork, origin: Origin, cause: str) -> str:
    """A new deployment, in the trace that is current; answers its id."""
    origin = replace(origin, trace=traceparent())
    saga = Saga(id=new_id(), origin=origin, state=DeploymentState.AUTHORIZING, created_at=await store.clock(work.connection))
    await work.create(saga, Begin(cause=cause))
    return saga.id


async def _settle_again(work: UnitOfWork, change: ChangePushed) -> None:
    """The change was handled before; its settlement did not reach webhooks. Newer ones of the ref may have been taken since."""
    deployments = await store.made_of(work.connection, change)
    if deployments:
        _settle(work, change, ChangeTaken(change=change.id, deployments=deployments, ref=change.ref, commit=change.commit))
    else:
        _ignore(work, change, "it was settled before")


def _ignore(work: UnitOfWork, change: ChangePushed, reason: str) -> None:
    _settle(work, change, ChangeIgnored(change=change.id, reason=reason, ref=change.ref, commit=change.commit))


def _settle(work: UnitOfWork, change: ChangePushed, fact: ChangeTaken | ChangeIgnored) -> None:
    work.publish(Event.of(fact, change.organization, change.project, cause=change.id))
