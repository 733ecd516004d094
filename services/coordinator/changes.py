"""Changes of webhooks: of a push, a deployment for each environment that follows the ref. Every change is settled, with the reason."""

from collections.abc import Mapping, Sequence
from functools import partial

from services.coordinator import settling
from services.coordinator.catalogue import Follower, Unknown
from services.coordinator.change_requests import take_request
from services.coordinator.coordinator import Coordinator
from services.coordinator.deployments import create
from services.coordinator.saga import Origin
from services.coordinator.store import refs, sagas
from services.coordinator.work import UnitOfWork
from shared import inbox
from shared.consumer import Received
from shared.contracts.changes import Change, ChangePushed, FoundBy, RequestChange
from shared.contracts.commands import Source
from shared.contracts.releases import ReleaseKind
from shared.telemetry import span


async def take_changes(coordinator: Coordinator, batch: Sequence[Received[Change]]) -> None:
    """Handles a batch of CHANGES, one transaction a change."""
    for item in batch:
        with span("take change", item.headers, change=item.message.id):
            match item.message:
                case ChangePushed():
                    await _take_one(coordinator, item.message)
                case RequestChange():
                    await take_request(coordinator, item.message)


async def _take_one(coordinator: Coordinator, change: ChangePushed) -> None:
    try:
        followers = await coordinator.catalogue.followers(change.organization, change.project, change.connection, change.ref)
        sources = await _sources(coordinator, change, followers)
    except Unknown as unknown:
        async with coordinator.work() as work:
            await inbox.take(work.connection, [change.id])
            settling.ignore(work, change, str(unknown))
        return
    async with coordinator.work() as work:
        await _take(work, change, followers, sources)


async def _sources(coordinator: Coordinator, change: ChangePushed, followers: Sequence[Follower]) -> dict[str, Source]:
    """Where each target's builder clones from."""
    ask = partial(coordinator.catalogue.source, change.organization, change.project, change.connection)
    return {target: await ask(target, change.ref, change.commit) for target in {follower.target for follower in followers}}


async def _take(work: UnitOfWork, change: ChangePushed, followers: Sequence[Follower], sources: Mapping[str, Source]) -> None:
    new = await inbox.take(work.connection, [change.id])
    await refs.lock(work.connection, change)
    last = await refs.last_taken(work.connection, change.organization, change.project, change.connection, change.ref)
    if not new:
        await settling.settle_again(work, change)
    elif last is not None and _same(last, change) and not _by_hand(change):
        settling.ignore(work, change, "this commit is the last one taken of the ref already")
    elif last is not None and last.arrival >= change.arrival:
        settling.ignore(work, change, "a newer change of the ref was taken before it")
    elif not followers:
        await refs.set_taken(work.connection, change, ())
        settling.ignore(work, change, f"no environment of {change.organization}/{change.project} follows {change.ref}")
    else:
        sagas = [await _create(work, change, follower, sources[follower.target]) for follower in followers]
        await refs.set_taken(work.connection, change, sagas)
        settling.take(work, change, sagas)


def _same(last: refs.Taken, change: ChangePushed) -> bool:
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
        arrival=await sagas.next_arrival(work.connection),
        connection=change.connection,
        source=source,
        pusher=change.pusher,
        change=change.id,
        title=change.title,
        author=change.author,
        web_url=change.web_url,
        needs_approval=follower.needs_approval,
        gates=follower.gates,
        by_hand=_by_hand(change),
    )
    return await create(work, origin, cause=change.id)
