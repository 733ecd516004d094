"""auth's gRPC service, and what its refusals mean to an HTTP client."""

from typing import TYPE_CHECKING

import grpc
from grpc import aio

from shared.problems import Problem
from shared.proto import auth_pb2 as pb
from shared.proto.auth_pb2_grpc import AuthStub
from shared.rpc import CALL_S

if TYPE_CHECKING:
    from shared.proto.auth_pb2_grpc import AuthAsyncStub

_PROBLEMS: dict[grpc.StatusCode, tuple[int, str]] = {
    grpc.StatusCode.INVALID_ARGUMENT: (422, "invalid"),
    grpc.StatusCode.NOT_FOUND: (404, "not-found"),
    grpc.StatusCode.ALREADY_EXISTS: (409, "exists"),
    grpc.StatusCode.FAILED_PRECONDITION: (409, "conflict"),
    grpc.StatusCode.PERMISSION_DENIED: (403, "forbidden"),
    grpc.StatusCode.UNAVAILABLE: (503, "auth-unavailable"),
    grpc.StatusCode.DEADLINE_EXCEEDED: (503, "auth-unavailable"),
}


def problem_of(error: aio.AioRpcError) -> Problem:
    """The problem document of a refused call; raises the error again where it means a fault of ours."""
    found = _PROBLEMS.get(error.code())
    if found is None:
        raise error
    status, slug = found
    if status == 503:
        detail = "The service that knows who may do what cannot be reached. Try again in a moment."
        return Problem(503, slug, detail, headers={"Retry-After": "2"})
    return Problem(status, slug, error.details() or slug)


class Auth:
    """Who is asking, and what may they do. Every call has a deadline."""

    def __init__(self, channel: aio.Channel) -> None:
        self.stub: AuthAsyncStub = AuthStub(channel)
        self._channel = channel

    async def authenticate(self, token: str) -> pb.Subject | None:
        """The person whose token this is; None where it is unknown, expired or revoked."""
        try:
            return await self.stub.Authenticate(pb.AuthenticateRequest(token=token), timeout=CALL_S)
        except aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                return None
            raise

    async def check(self, subject: str, action: str, resource: str, kind: str = "") -> pb.Decision:
        """The decision, with its rule; auth audits denials."""
        request = pb.CheckRequest(subject=subject, action=action, resource=resource, environment_kind=kind)
        return await self.stub.Check(request, timeout=CALL_S)

    async def ready(self) -> None:
        """Raises `TimeoutError` where auth cannot be reached."""
        await self._channel.channel_ready()
