"""Change requests: each gets an environment of its own (a preview), which is deployed anew with each commit, and goes with it."""

from collections.abc import Mapping, Sequence
from functools import partial

from services.coordinator import settling
from services.coordinator.catalogue import Follower, Previews, Unknown
from services.coordinator.coordinator import Coordinator
from services.coordinator.deployments import create
from services.coordinator.saga import Origin
from services.coordinator.store import open_requests, refs, sagas
from services.coordinator.store.open_requests import Taken
from services.coordinator.work import UnitOfWork
from shared import inbox
from shared.contracts.changes import ChangeRequestClosed, ChangeRequestOpened, ChangeRequestUpdated, FoundBy, RequestChange
from shared.contracts.commands import Source
from shared.contracts.releases import ReleaseKind

PREVIEWS_GO = "a preview goes with its change request, or when nobody has updated it for its time to live"
"""The rule by which previews are removed: whoever made the environment that they are like has agreed to it."""


async def take_request(coordinator: Coordinator, change: RequestChange) -> None:
    """Handles one change of a change request; it is settled, with the reason.

    The change request is locked while the catalogue is told, for other replicas too: there, too, what arrived last is what stands.
    What is no news is not told, since the catalogue would make an environment of it.
    """
    async with coordinator.work() as work:
        new = await inbox.take(work.connection, [change.id])
        await open_requests.lock(work.connection, open_requests.key_of(change))
        last = await open_requests.last_taken(work.connection, change)
        if not new:
            settling.settle_again(work, change, await refs.made_of(work.connection, [change.id]))
        elif reason := why_no_news(last, change):
            if last is not None and last.arrival < change.arrival:
                if last.closed:
                    await open_requests.hold(work.connection, change)
                else:
                    await open_requests.set_taken(work.connection, change, last.deployments)  # what comes late from before it is no news
            settling.ignore(work, change, reason)
        else:
            await _take(coordinator, work, change)
            if isinstance(change, ChangeRequestOpened) and (held := updated_since(last, change)) is not None:
                await _take(coordinator, work, held)


def updated_since(last: Taken | None, change: ChangeRequestOpened) -> ChangeRequestUpdated | None:
    """What was done to a change request after it was opened again, and was told before that."""
    held = last.held if last is not None else None
    return held if held is not None and held.arrival > change.arrival else None


async def _take(coordinator: Coordinator, work: UnitOfWork, change: RequestChange) -> None:
    try:
        found = await _previews(coordinator, change)
        sources = await _sources(coordinator, change, found.environments)
    except Unknown as unknown:
        settling.ignore(work, change, str(unknown))
        return
    made = [await create(work, await _origin(work, change, preview, sources), cause=change.id) for preview in found.environments]
    await open_requests.set_taken(work.connection, change, made)
    if made:
        settling.take(work, change, made)
    else:
        settling.ignore(work, change, "; ".join(found.refused) or _nothing_follows(change))


async def _previews(coordinator: Coordinator, change: RequestChange) -> Previews:
    if isinstance(change, ChangeRequestClosed):
        return await coordinator.catalogue.close_previews(change)
    return await coordinator.catalogue.open_previews(change)


async def _sources(coordinator: Coordinator, change: RequestChange, previews: Sequence[Follower]) -> dict[str, Source]:
    if isinstance(change, ChangeRequestClosed):
        return {}
    ask = partial(coordinator.catalogue.source, change.organization, change.project, change.connection)
    return {target: await ask(target, change.ref, change.commit) for target in {preview.target for preview in previews}}


def why_no_news(last: Taken | None, change: RequestChange) -> str:
    """Why a change of a change request changes nothing; empty: it does."""
    if last is None:
        return ""
    if last.arrival >= change.arrival:
        return f"a newer change of {change} was taken before it"
    if last.closed and isinstance(change, ChangeRequestUpdated):
        return f"{change} is closed"
    by_hand = change.found_by is FoundBy.REDELIVERY
    same = last.commit == change.commit and not last.closed and not isinstance(change, ChangeRequestClosed)
    if same and last.deployments and not by_hand:
        return f"this commit is the last one taken of {change} already"
    return ""


def _nothing_follows(change: RequestChange) -> str:
    if isinstance(change, ChangeRequestClosed):
        return f"{change} has no preview"
    return f"no environment of {change.organization}/{change.project} follows change requests into {change.target}"


async def _origin(work: UnitOfWork, change: RequestChange, preview: Follower, sources: Mapping[str, Source]) -> Origin:
    closes = isinstance(change, ChangeRequestClosed)
    return Origin(
        place=preview.place,
        environment_kind=preview.kind,
        target=preview.target,
        kind=ReleaseKind.REMOVE if closes else ReleaseKind.DEPLOY,
        arrival=await sagas.next_arrival(work.connection),
        connection=change.connection,
        source=None if closes else sources[preview.target],
        pusher=change.pusher,
        change=change.id,
        title=_title(change),
        web_url=change.web_url,
        needs_approval=preview.needs_approval,
        gates=() if closes else preview.gates,
        by_hand=closes or change.found_by is FoundBy.REDELIVERY,
        preview=True,
        change_request=preview.change_request,
        fork=preview.fork,
        allowed_by=PREVIEWS_GO if closes else "",
    )


def _title(change: RequestChange) -> str:
    if isinstance(change, ChangeRequestClosed):
        return f"remove the preview: {change} was {'merged' if change.merged else 'closed'}"
    return change.title
