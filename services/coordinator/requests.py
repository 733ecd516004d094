"""What people wish. Api has checked that they may; what cannot be done is answered with `RequestRefused` and the reason."""

from collections.abc import Sequence
from dataclasses import replace

from services.coordinator.catalogue import Catalogue, Follower, Unknown
from services.coordinator.change_requests import PREVIEWS_GO
from services.coordinator.coordinator import Coordinator
from services.coordinator.deployments import create
from services.coordinator.inputs import Accepted, Approved, Cancelled, GateAnswered, Input, Retried
from services.coordinator.saga import DeploymentState, Origin
from services.coordinator.store import environments, open_requests, refs, sagas
from services.coordinator.work import UnitOfWork
from shared import inbox
from shared.consumer import Received
from shared.contracts import requests as r
from shared.contracts.commands import Source
from shared.contracts.events import Event, RequestRefused
from shared.contracts.places import Place
from shared.contracts.releases import ReleaseKind
from shared.messages import UnknownType, type_of
from shared.telemetry import span

_TYPES = {request.type_name(): request for request in r.REQUESTS}


def decode_request(_subject: str, headers: dict[str, str], body: bytes) -> r.Request:
    """Reads a request by its type; raises `UnknownType` for one that this version does not know."""
    name = type_of(headers)
    if name not in _TYPES:
        raise UnknownType(f"unknown request {name}")
    return _TYPES[name].decode(body)


class Impossible(Exception):
    """The request cannot be done; the text says why and what to do."""


async def take_requests(coordinator: Coordinator, batch: Sequence[Received[r.Request]]) -> None:
    """Handles a batch of REQUESTS, one transaction each."""
    for item in batch:
        with span(f"take request {item.message.verb}", item.headers, request=item.message.id):
            await _take_one(coordinator, item.message)


async def _take_one(coordinator: Coordinator, request: r.Request) -> None:
    prepared = await _prepare(coordinator.catalogue, request)
    async with coordinator.work() as work:
        if not await inbox.take(work.connection, [request.id]):
            return
        try:
            await _do(work, coordinator, request, prepared)
        except Impossible as reason:
            work.publish(_refusal(request, str(reason)))


def _refusal(request: r.Request, reason: str) -> Event:
    place: Place | None = getattr(request, "place", None)
    fact = RequestRefused(request=request.id, reason=reason)
    return Event.of(
        fact,
        request.organization,
        place.project if place else None,
        place.environment if place else None,
        cause=request.id,
        deployment=getattr(request, "target_deployment", None),
    )


async def _prepare(catalogue: Catalogue, request: r.Request) -> Follower | None:
    """The environment that the request is about, asked before the transaction."""
    place: Place | None = getattr(request, "place", None)
    return None if place is None else await catalogue.environment(place)


async def _do(work: UnitOfWork, coordinator: Coordinator, request: r.Request, follower: Follower | None) -> None:
    match request:
        case r.DeployRequested() | r.RollbackRequested() | r.RemoveRequested() | r.ExpireRequested():
            if follower is None:
                raise Impossible(f"there is no environment {request.place}")
            if follower.template and not isinstance(request, r.RemoveRequested):
                raise Impossible(f"{request.place} follows change requests: nothing runs in it, each of them gets one like it")
            if isinstance(request, r.ExpireRequested):
                follower = await _still_removed(work, coordinator.catalogue, request, follower)
            origin = await _origin(work, coordinator.catalogue, request, follower)
            await create(work, origin, cause=request.id)
        case r.CancelRequested():
            await _move(work, request, request.target_deployment, Cancelled(by=request.by, cause=request.id))
        case r.ApproveRequested():
            decision = Approved(by=request.by, approved=request.approved, reason=request.reason, cause=request.id)
            await _approve(work, request, decision)
        case r.AnswerRequested():
            await _move(work, request, request.target_deployment, _answer(request))
        case r.RetryRequested():
            await _move(work, request, request.target_deployment, Retried(by=request.by, cause=request.id), only=DeploymentState.STUCK)
        case r.AcceptRequested():
            await _move(work, request, request.target_deployment, Accepted(by=request.by, cause=request.id), only=DeploymentState.STUCK)


async def _still_removed(work: UnitOfWork, catalogue: Catalogue, request: r.ExpireRequested, follower: Follower) -> Follower:
    """The preview, unless its change request was updated after the wish. Until the transaction ends no change of it is taken."""
    place, of = follower.place, follower.change_request
    if of is not None:
        key = (place.organization, place.project, follower.connection, of.repository, of.number)
        await open_requests.lock(work.connection, key)
    found = await _prepare(catalogue, request)
    if found is None or not found.removing:
        raise Impossible(f"{request.place} was updated after its removal was asked for: it stays")
    return found


async def _move(work: UnitOfWork, request: r.Request, deployment: str, message: Input, only: DeploymentState | None = None) -> None:
    await work.lock([deployment])
    saga = work.saga(deployment)
    if saga is None or saga.origin.place.organization != request.organization:
        raise Impossible(f"there is no deployment {deployment}")
    if saga.state.final:
        raise Impossible(f"the deployment has ended already: {saga.state}")
    if only is not None and saga.state is not only:
        raise Impossible(f"the deployment is {saga.state}, not {only}")
    await work.apply(deployment, message)


async def _approve(work: UnitOfWork, request: r.ApproveRequested, decision: Approved) -> None:
    await work.lock([request.target_deployment])
    saga = work.saga(request.target_deployment)
    if saga is not None and saga.state is DeploymentState.WAITING and not saga.waits_for_approval:
        raise Impossible("the deployment waits for gates, not for approval: slipway gates answer")
    await _move(work, request, request.target_deployment, decision, only=DeploymentState.WAITING)


def _answer(request: r.AnswerRequested) -> GateAnswered:
    return GateAnswered(
        gate=request.gate,
        gate_id=request.gate_id,
        result=request.result,
        reason=request.reason,
        by=request.by,
        at=request.time,
        cause=request.id,
    )


async def _origin(work: UnitOfWork, catalogue: Catalogue, request: r.Request, follower: Follower) -> Origin:
    origin = Origin(
        place=follower.place,
        environment_kind=follower.kind,
        target=follower.target,
        kind=ReleaseKind.DEPLOY,
        arrival=await sagas.next_arrival(work.connection),
        subject=request.subject,
        subject_name=request.subject_name,
        request=request.id,
        by_hand=True,
        needs_approval=follower.needs_approval,
        gates=follower.gates,
        preview=follower.preview,
        change_request=follower.change_request,
        fork=follower.fork,
    )
    match request:
        case r.RemoveRequested():
            return replace(origin, kind=ReleaseKind.REMOVE, title="remove the environment")
        case r.ExpireRequested():
            title = f"remove the preview: {request.reason}"
            return replace(origin, kind=ReleaseKind.REMOVE, subject=None, title=title, allowed_by=PREVIEWS_GO, gates=())
        case r.RollbackRequested():
            return await _rollback(work, origin, request)
        case r.DeployRequested(again=str() as deployment):
            return await _again(work, catalogue, replace(origin, rebuild=request.rebuild), deployment)
        case r.DeployRequested():
            return await _commit(work, catalogue, replace(origin, rebuild=request.rebuild), follower, request)
        case _:
            raise Impossible(f"{type(request).__name__} makes no deployment")


async def _rollback(work: UnitOfWork, origin: Origin, request: r.RollbackRequested) -> Origin:
    to = request.to or await environments.record_before(work.connection, request.place)
    if to is None:
        raise Impossible(f"{request.place} has no earlier release to return to")
    if await environments.record_of(work.connection, request.place, to) is None:
        raise Impossible(f"deployment {to} did not end well in {request.place}: there is nothing to return to")
    # What it returns to was let through before, and whoever rolls back is in a hurry.
    return replace(origin, kind=ReleaseKind.ROLLBACK, rollback_to=to, title=f"roll back to {to}", needs_approval=False, gates=())


async def _again(work: UnitOfWork, catalogue: Catalogue, origin: Origin, deployment: str) -> Origin:
    former = (await sagas.lock(work.connection, [deployment])).get(deployment)
    if former is None or former.saga.origin.place != origin.place or former.saga.origin.source is None:
        raise Impossible(f"{origin.place} has no deployment {deployment} that could be run again")
    source, before = former.saga.origin.source, former.saga.origin
    fresh = await _source(catalogue, origin, source.connection, source.ref, source.commit)
    return replace(origin, source=fresh, connection=source.connection, title=before.title, author=before.author, web_url=before.web_url)


async def _commit(work: UnitOfWork, catalogue: Catalogue, origin: Origin, follower: Follower, request: r.DeployRequested) -> Origin:
    place = origin.place
    ref = request.ref or (None if request.commit else follower.ref)
    change = await refs.newest_change(work.connection, place.organization, place.project, ref)
    if change is None and request.commit is None:
        raise Impossible(f"nothing was pushed to {ref} of {place.organization}/{place.project} yet")
    commit = request.commit or (change.commit if change else "")
    connection = follower.connection or (change.connection if change else "")
    source = await _source(catalogue, origin, connection, ref or (change.ref if change else follower.ref), commit)
    origin = replace(origin, source=source, connection=connection)
    if change is not None and change.commit == commit:
        origin = replace(origin, title=change.title, author=change.author, web_url=change.web_url)
    return origin


async def _source(catalogue: Catalogue, origin: Origin, connection: str, ref: str, commit: str) -> Source:
    place = origin.place
    try:
        return await catalogue.source(place.organization, place.project, connection, origin.target, ref, commit)
    except Unknown as unknown:
        raise Impossible(f"the source is not known: {unknown}") from unknown
