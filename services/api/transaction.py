"""One transaction a changing request: what it writes, the events that it causes, its audit entries, and its answer.

`TransactionalRoute` commits before the answer is sent. A POST with `Idempotency-Key` is done once a
key and caller: its answer is stored (sealed) in the same transaction and given again.
"""

import hashlib
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute

from services.api.access import Caller, caller_with, token_of
from services.api.dependencies import Parts, parts_of
from services.api.store import audit, idempotency
from services.api.store.idempotency import Answer
from shared.contracts.events import CatalogueChanged, Event
from shared.messages import Message, new_id
from shared.postgres import Connection
from shared.problems import Problem

_KEPT_HEADERS = ("location", "content-type")
KEY_LENGTH = 255


@dataclass(frozen=True)
class Unit:
    """The request's transaction."""

    connection: Connection
    parts: Parts

    async def send(self, *messages: Message) -> None:
        """Publishes the messages when the transaction commits."""
        await self.parts.outbox.add(self.connection, messages)

    async def audit(self, caller: Caller, action: str, resource: str, details: str = "") -> None:
        """Writes an audit entry; auth gets it even where this process dies after the commit."""
        await audit.add(self.connection, new_id(), caller.id, action, resource, details)

    async def changed(
        self,
        caller: Caller,
        action: str,
        kind: str,
        name: str,
        organization: str,
        project: str | None = None,
        environment: str | None = None,
        details: str = "",
    ) -> None:
        """Says that something in the catalogue was created, updated or deleted: an event and an audit entry. Never a value."""
        fact = CatalogueChanged(kind=kind, name=name, action=action, by=caller.id)
        await self.send(Event.of(fact, organization, project, environment))
        slugs = [slug for slug in (organization, project, environment) if slug]
        resource = f"{('organization', 'project', 'environment')[len(slugs) - 1]}/{'/'.join(slugs)}"
        await self.audit(caller, f"{kind}.{action}", resource, f"{name}: {details}" if details else name)


class TransactionalRoute(APIRoute):
    """Runs POST, PUT, PATCH and DELETE in one transaction; what raises changes nothing."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler with a transaction around it."""
        handler = super().get_route_handler()
        if (self.methods or set()) <= {"GET", "HEAD"}:
            return handler

        async def handle(request: Request) -> Response:
            parts = parts_of(request)
            async with parts.pool.acquire() as connection, connection.transaction():
                request.state.unit = Unit(connection, parts)
                response = await _once(request, connection, parts, handler)
            parts.outbox.wake()
            parts.wakeups.wake()
            return response

        return handle


async def _once(
    request: Request,
    connection: Connection,
    parts: Parts,
    handler: Callable[[Request], Coroutine[Any, Any, Response]],
) -> Response:
    key = request.headers.get("idempotency-key")
    if key is None or request.method != "POST":
        return await handler(request)
    if not 0 < len(key) <= KEY_LENGTH:
        raise Problem(400, "bad-idempotency-key", f"Idempotency-Key must have 1 to {KEY_LENGTH} characters.")
    token = token_of(request)
    if await caller_with(token, parts) is None:
        return await handler(request)  # which refuses it
    subject = hashlib.sha256(token.encode()).hexdigest()
    # With the token in it, a secret in the body cannot be found by trying.
    what = f"{token}\n{request.url.path}?{request.url.query}\n".encode() + await request.body()
    fingerprint = hashlib.sha256(what).hexdigest()
    former = await idempotency.take(connection, subject, key, fingerprint)
    if former is not None:
        return _again(former, fingerprint, subject, parts)
    response = await handler(request)
    headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
    sealed = parts.safe.seal_answer(f"answer/{subject}", bytes(response.body))
    await idempotency.store(connection, subject, key, response.status_code, sealed, json.dumps(headers))
    return response


def _again(former: Answer, fingerprint: str, subject: str, parts: Parts) -> Response:
    if former.fingerprint != fingerprint:
        detail = "This Idempotency-Key was used for another request. Take a new key for a new request."
        raise Problem(422, "idempotency-key-reused", detail)
    body = parts.safe.open_answer(f"answer/{subject}", former.sealed_body)
    headers = {**former.headers, "Idempotency-Replayed": "true"}
    return Response(body, former.status, headers)


def _unit(request: Request) -> Unit:
    unit = request.state.unit
    assert isinstance(unit, Unit)
    return unit


Within = Annotated[Unit, Depends(_unit)]
"""The route's transaction; for routes of a router with `route_class=TransactionalRoute`."""
