"""One transaction a changing request: what it writes, the events that it causes, its audit entries, and its answer.

`TransactionalRoute` commits before the answer is sent. A route asks auth first and begins then, so that no request
holds a connection of the pool while it waits for another service. A POST with `Idempotency-Key` is done once a key and
caller: its answer is stored (sealed) in the same transaction and given again.
"""

import hashlib
import json
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute

from services.api.access import Caller, token_of
from services.api.dependencies import Parts, parts_of
from services.api.store import audit, idempotency
from services.api.store.idempotency import Answer
from shared.contracts.events import CatalogueChanged, Event
from shared.messages import Message, new_id
from shared.outbox import Outgoing
from shared.postgres import Connection, Pool
from shared.problems import Problem

_KEPT_HEADERS = ("location", "content-type")
KEY_LENGTH = 255


class _AnsweredBefore(Exception):
    """The request's key was used for this very request: here is the answer that it got."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


@dataclass(frozen=True)
class _Key:
    """An Idempotency-Key and whose it is."""

    subject: str
    key: str
    fingerprint: str


@dataclass
class Unit:
    """The request's transaction, from `begin` on."""

    parts: Parts
    _request: Request
    _ending: AsyncExitStack
    _connection: "Connection | None" = None
    _key: _Key | None = field(default=None, repr=False)

    @property
    def reads(self) -> Pool:
        """For what has to be known before somebody's right can be checked."""
        return self.parts.pool

    @property
    def keyed(self) -> bool:
        """The request shall be done once."""
        return self._request.method == "POST" and "idempotency-key" in self._request.headers

    @property
    def begun(self) -> bool:
        """Whether there is a transaction."""
        return self._connection is not None

    @property
    def connection(self) -> Connection:
        """The transaction's; only after `begin`."""
        if self._connection is None:
            raise RuntimeError("this request's transaction was not begun")
        return self._connection

    async def begin(self) -> Connection:
        """Begins, once whoever asks is known to be allowed to. What was answered to the same key before is answered again."""
        if self._connection is None:
            connection = await self._ending.enter_async_context(self.parts.pool.acquire())
            await self._ending.enter_async_context(connection.transaction())
            self._connection = connection
            if self.keyed:
                self._key = await _key_of(self._request)
                await self._take(self._key)
        return self._connection

    async def begin_if_keyed(self) -> None:
        """For a route that writes nothing itself: a transaction only where its answer has to be kept."""
        if self.keyed:
            await self.begin()

    async def _take(self, key: _Key) -> None:
        former = await idempotency.take(self.connection, key.subject, key.key, key.fingerprint)
        if former is not None:
            raise _AnsweredBefore(_again(former, key, self.parts))

    async def keep(self, response: Response) -> None:
        """Stores the answer where it may have to be given again."""
        key = self._key
        if key is None:
            return
        headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
        sealed = self.parts.safe.seal_answer(f"answer/{key.subject}", bytes(response.body))
        await idempotency.store(self.connection, key.subject, key.key, response.status_code, sealed, json.dumps(headers))

    async def send_as(self, message: Outgoing) -> None:
        """Publishes a message that says itself where it goes, when the transaction commits."""
        await self.parts.outbox.add(self.connection, [message])

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
            try:
                async with AsyncExitStack() as ending:
                    unit = request.state.unit = Unit(parts, request, ending)
                    response = await handler(request)
                    if unit.keyed and not unit.begun:
                        raise RuntimeError(f"{request.url.path} does not keep its answers")
                    await unit.keep(response)
            except _AnsweredBefore as before:
                return before.response
            parts.outbox.wake()
            parts.wakeups.wake()
            return response

        return handle


async def _key_of(request: Request) -> _Key:
    key = request.headers["idempotency-key"]
    if not 0 < len(key) <= KEY_LENGTH:
        raise Problem(400, "bad-idempotency-key", f"Idempotency-Key must have 1 to {KEY_LENGTH} characters.")
    token = token_of(request)
    # With the token in it, a secret in the body cannot be found by trying.
    what = f"{token}\n{request.url.path}?{request.url.query}\n".encode() + await request.body()
    return _Key(hashlib.sha256(token.encode()).hexdigest(), key, hashlib.sha256(what).hexdigest())


def _again(former: Answer, key: _Key, parts: Parts) -> Response:
    if former.fingerprint != key.fingerprint:
        detail = "This Idempotency-Key was used for another request. Take a new key for a new request."
        raise Problem(422, "idempotency-key-reused", detail)
    body = parts.safe.open_answer(f"answer/{key.subject}", former.sealed_body)
    return Response(body, former.status, {**former.headers, "Idempotency-Replayed": "true"})


def _unit(request: Request) -> Unit:
    unit = request.state.unit
    assert isinstance(unit, Unit)
    return unit


Within = Annotated[Unit, Depends(_unit)]
"""The route's transaction; for routes of a router with `route_class=TransactionalRoute`."""
