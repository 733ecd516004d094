"""The gRPC service Auth: reads requests, calls what decides, writes answers. No rules here."""

# ruff: noqa: N802, D102 -- names and documentation are those of auth.proto

from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from functools import wraps
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message
from grpc import aio

from services.auth import accounts, credentials, decisions, errors, roles, wire
from services.auth.credentials import Gate
from services.auth.permissions import Grant, Resource, Role
from services.auth.store import audit
from services.auth.store.audit import Happening
from shared.contracts.places import EnvironmentKind
from shared.postgres import UNAVAILABLE, Pool
from shared.proto import auth_pb2 as pb
from shared.proto.auth_pb2_grpc import AuthServicer, add_AuthServicer_to_server

Context = aio.ServicerContext[Any, Any]
Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)

_STATUS: dict[type[errors.Refusal], grpc.StatusCode] = {
    errors.Unusable: grpc.StatusCode.INVALID_ARGUMENT,
    errors.Missing: grpc.StatusCode.NOT_FOUND,
    errors.Taken: grpc.StatusCode.ALREADY_EXISTS,
    errors.NotPossible: grpc.StatusCode.FAILED_PRECONDITION,
    errors.NotPermitted: grpc.StatusCode.PERMISSION_DENIED,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
}


def _answering(
    method: Callable[["Servicer", Q], Awaitable[A]],
) -> Callable[["Servicer", Q, Context], Coroutine[None, None, A]]:
    """Turns what a method raises into the call's status; a denial is in the audit log before its caller hears of it."""

    @wraps(method)
    async def answer(servicer: "Servicer", request: Q, context: Context) -> A:
        try:
            wire.refuse_nul(request)
            return await method(servicer, request)
        except errors.NotPermitted as denial:
            await servicer.write(denial.happening)
            await context.abort(_STATUS[errors.NotPermitted], str(denial))
        except errors.Refusal as refusal:
            await context.abort(_STATUS[type(refusal)], str(refusal))
        except UNAVAILABLE as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, f"auth's database is away: {type(error).__name__}")
        except ValueError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        raise AssertionError("abort does not return")

    return answer


class Servicer(AuthServicer):
    """Callers are services with a certificate of the control plane; `by` is the person on whose behalf they call."""

    def __init__(self, pool: Pool, gate: Gate) -> None:
        self._pool = pool
        self._gate = gate

    def register(self, server: aio.Server) -> None:
        """Adds the service to a server."""
        add_AuthServicer_to_server(self, server)

    async def write(self, happening: Happening) -> None:
        """Adds an entry to the audit log."""
        async with self._pool.acquire() as connection, connection.transaction():
            await audit.add(connection, happening)

    @_answering
    async def Authenticate(self, request: pb.AuthenticateRequest) -> pb.Subject:
        found = await self._gate.authenticate(request.token)
        who = found.actor
        return pb.Subject(id=who.id, name=who.name, token_id=found.token, grants=wire.grants(who.id, who.grants))

    @_answering
    async def Check(self, request: pb.CheckRequest) -> pb.Decision:
        kind = EnvironmentKind(request.environment_kind) if request.environment_kind else None
        resource = Resource.parse(request.resource)
        decision = await decisions.check(self._pool, request.subject, request.action, resource, kind)
        return pb.Decision(allowed=decision.allowed, rule=decision.rule, approval=decision.approval)

    @_answering
    async def CreatePerson(self, request: pb.CreatePersonRequest) -> pb.Person:
        return wire.person(await accounts.create_person(self._pool, request.name, request.email, request.by))

    @_answering
    async def ListPeople(self, request: pb.ListPeopleRequest) -> pb.People:
        limit = wire.page_size(request.limit)
        found = await accounts.list_people(self._pool, request.organization, request.after, limit + 1)
        page, more = found[:limit], len(found) > limit
        return pb.People(people=map(wire.person, page), next=page[-1].person.id if more else "")

    @_answering
    async def DeletePerson(self, request: pb.DeletePersonRequest) -> pb.Empty:
        await accounts.delete_person(self._pool, request.id, request.by)
        return pb.Empty()

    @_answering
    async def LinkIdentity(self, request: pb.Identity) -> pb.Identity:
        return wire.identity(await accounts.link_identity(self._pool, wire.identity_from(request), request.by))

    @_answering
    async def UnlinkIdentity(self, request: pb.Identity) -> pb.Empty:
        await accounts.unlink_identity(self._pool, wire.identity_from(request), request.by)
        return pb.Empty()

    @_answering
    async def Grant(self, request: pb.RoleGrant) -> pb.RoleGrant:
        given = Grant(Role.named(request.role), Resource.parse(request.resource))
        await roles.grant(self._pool, request.person, given, request.by)
        return request

    @_answering
    async def Revoke(self, request: pb.RoleGrant) -> pb.Empty:
        await roles.revoke(self._pool, request.person, Resource.parse(request.resource), request.by)
        return pb.Empty()

    @_answering
    async def Forget(self, request: pb.Gone) -> pb.Empty:
        await roles.forget(self._pool, Resource.parse(request.resource), request.by)
        return pb.Empty()

    @_answering
    async def CreateToken(self, request: pb.CreateTokenRequest) -> pb.CreatedToken:
        lasts = timedelta(seconds=request.expires_in_s) if request.expires_in_s else None
        token, plain = await credentials.create(self._pool, request.person, request.name, lasts, request.by)
        return pb.CreatedToken(token=wire.token(token), plain=plain)

    @_answering
    async def ListTokens(self, request: pb.ListTokensRequest) -> pb.Tokens:
        limit = wire.page_size(request.limit)
        found = await credentials.list_tokens(self._pool, request.person, request.after, limit + 1, request.by)
        page, more = found[:limit], len(found) > limit
        return pb.Tokens(tokens=map(wire.token, page), next=page[-1].id if more else "")

    @_answering
    async def RevokeToken(self, request: pb.RevokeTokenRequest) -> pb.Empty:
        await credentials.revoke(self._pool, request.id, request.by)
        return pb.Empty()

    @_answering
    async def ListAudit(self, request: pb.ListAuditRequest) -> pb.AuditPage:
        limit, before = wire.page_size(request.limit), wire.position(request.after)
        found = await audit.page(self._pool, request.organization, before, limit + 1)
        page, more = found[:limit], len(found) > limit
        return pb.AuditPage(entries=[wire.audit_entry(each) for _, each in page], next=str(page[-1][0]) if more else "")

    @_answering
    async def Audit(self, request: pb.AuditEntry) -> pb.Empty:
        await self.write(wire.happening(request))
        return pb.Empty()
