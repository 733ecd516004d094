"""Changes of webhooks: of a push, a deployment for each environment that follows the ref. Every change is settled, with the reason."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import TypeGuard

from services.coordinator import settling
from services.coordinator.catalogue import Catalogue, Follower, Unknown
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
from shared.ref_patterns import matches
from shared.telemetry import span


async def take_changes(coordinator: Coordinator, batch: Sequence[Received[Change]]) -> None:
    """Handles a batch of CHANGES: the pushes that nobody follows in one transaction, whatever else there is in one each."""
    pushes = [item for item in batch if _is_push(item)]
    followers = await _followers(coordinator.catalogue, [item.message for item in pushes])
    if unfollowed := {item.message.id: item for item in pushes if not followers[refs.ref_of(item.message)]}:
        await _take(coordinator, list(unfollowed.values()))
    for item in batch:
        if not _is_push(item):
            await _take_request(coordinator, item)
        elif following := followers[refs.ref_of(item.message)]:
            await _take(coordinator, [item], following, await _sources(coordinator.catalogue, item.message, following))


def _is_push(item: Received[Change]) -> TypeGuard[Received[ChangePushed]]:
    return isinstance(item.message, ChangePushed)


async def _take_request(coordinator: Coordinator, item: Received[Change]) -> None:
    assert isinstance(item.message, RequestChange)
    with span("take change", item.headers, change=item.message.id):
        await take_request(coordinator, item.message)


async def _followers(catalogue: Catalogue, changes: Sequence[ChangePushed]) -> dict[refs.Ref, list[Follower]]:
    """The environments that follow each ref. The catalogue is asked once of a connection, however many of its refs were pushed to."""
    pushed = {refs.ref_of(change) for change in changes}
    following = {of: await catalogue.followers(*of) for of in {(org, project, link) for org, project, link, _ in pushed}}
    return {
        (org, project, link, ref): [one for one in following[org, project, link] if matches(one.ref, ref)]
        for org, project, link, ref in pushed
    }


async def _sources(catalogue: Catalogue, change: ChangePushed, followers: Sequence[Follower]) -> dict[str, Source] | Unknown:
    """Where each target's builder clones from; or why that is not known."""
    ask = partial(catalogue.source, change.organization, change.project, change.connection)
    try:
        return {target: await ask(target, change.ref, change.commit) for target in {follower.target for follower in followers}}
    except Unknown as unknown:
        return unknown


async def _take(
    coordinator: Coordinator,
    batch: Sequence[Received[ChangePushed]],
    followers: Sequence[Follower] = (),
    sources: Mapping[str, Source] | Unknown = MappingProxyType({}),
) -> None:
    """Takes pushes that the same environments follow, in one transaction."""
    pushed = [refs.ref_of(item.message) for item in batch]
    taken: dict[refs.Ref, refs.Taken] = {}
    async with coordinator.work() as work:
        new = await inbox.take(work.connection, [item.message.id for item in batch])
        made_before = await refs.made_of(work.connection, [item.message.id for item in batch if item.message.id not in new])
        await refs.lock(work.connection, pushed)
        last = await refs.last_taken(work.connection, pushed)
        for item, ref in zip(batch, pushed, strict=True):
            change = item.message
            with span("take change", item.headers, change=change.id):
                if change.id not in new:
                    settling.settle_again(work, change, made_before)
                elif reason := _why_no_news(last.get(ref), change):
                    if (former := last[ref]).change.arrival < change.arrival:  # what came between, and comes late, is no news either
                        last[ref] = taken[ref] = replace(former, change=change)
                    settling.ignore(work, change, reason)
                elif isinstance(sources, Unknown):
                    settling.ignore(work, change, str(sources))
                else:
                    made = [await _create(work, change, follower, sources[follower.target]) for follower in followers]
                    last[ref] = taken[ref] = refs.Taken(change, tuple(made))
                    if made:
                        settling.take(work, change, made)
                    else:
                        settling.ignore(work, change, f"no environment of {change.organization}/{change.project} follows {change.ref}")
        await refs.set_taken(work.connection, taken)


def _why_no_news(last: refs.Taken | None, change: ChangePushed) -> str:
    """Why a push changes nothing; empty: it does."""
    if last is None:
        return ""
    former = last.change
    if (former.repository, former.commit) == (change.repository, change.commit) and not _by_hand(change):
        return "this commit is the last one taken of the ref already"
    if former.arrival >= change.arrival:
        return "a newer change of the ref was taken before it"
    return ""


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
