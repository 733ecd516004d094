"""gRPC calls go on with their caller's trace."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
from grpc import aio

from embedded import authority
from embedded.home import Home
from shared import telemetry
from shared.proto import auth_pb2 as pb
from shared.proto.auth_pb2_grpc import AuthStub
from shared.rpc import channel, server
from shared.telemetry import span
from tests.collector import Collector, collector
from tests.component.webhooks.neighbours import TOKEN, Auth
from tests.polling import eventually

if TYPE_CHECKING:
    from shared.proto.auth_pb2_grpc import AuthAsyncStub

SERVICE = "slipway.auth.v1.Auth"


@pytest.fixture
def heard() -> Iterator[Collector]:
    """A collector that gets what this process tells; all is told when the block has ended."""
    with collector() as running:
        yield running


@pytest.fixture
async def stub(tmp_path: Path) -> AsyncIterator["AuthAsyncStub"]:
    """Auth behind real gRPC with mutual TLS, and a stub that calls it."""
    home = Home.at(tmp_path / "home")
    home.prepare()
    authority.prepare(home, ("auth", "api"))
    auth = Auth()  # type: ignore[abstract]
    async with (
        server("127.0.0.1:0", home.tls, "auth", auth.register) as port,
        channel(f"127.0.0.1:{port}", home.tls, "api") as opened,
    ):
        yield AuthStub(opened)


async def test_the_called_service_goes_on_with_the_callers_trace(heard: Collector, stub: "AuthAsyncStub") -> None:
    """Request → call → answer are one tree, with OpenTelemetry's names; a refusal is an error of the caller's span only."""
    provider = telemetry.configure("api", "test", heard.endpoint)
    with span("POST /tokens"):
        await stub.Authenticate(pb.AuthenticateRequest(token=TOKEN))
    with span("POST /refused"), pytest.raises(aio.AioRpcError) as refused:
        await stub.Authenticate(pb.AuthenticateRequest(token="wrong"))

    async def all_told() -> bool:
        """The called side ends its span when the caller has its answer already."""
        return provider.force_flush() and len(heard.spans) == 6

    await eventually(all_told)
    provider.shutdown()
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    calls = [one for one in heard.spans if one.name == f"{SERVICE}/Authenticate"]
    paths = [heard.path(one) for one in calls]
    call = f"{SERVICE}/Authenticate"
    for root in ("POST /tokens", "POST /refused"):
        assert [root, call] in paths
        assert [root, call, call] in paths
    assert all(one.attributes["rpc.system"] == "grpc" for one in calls)
    assert [len(heard.path(one)) for one in calls if one.failed] == [2]
    assert {one.attributes["rpc.grpc.status_code"] for one in calls if heard.path(one)[0] == "POST /refused"} == {16}


async def test_a_call_of_no_trace_begins_none(heard: Collector, stub: "AuthAsyncStub") -> None:
    """Reading leaves none, and what a stranger claims to be a trace is no reason to fail."""
    provider = telemetry.configure("api", "test", heard.endpoint)
    await stub.Authenticate(pb.AuthenticateRequest(token=TOKEN))
    await stub.Authenticate(pb.AuthenticateRequest(token=TOKEN), metadata=(("traceparent", "nonsense"),))
    provider.shutdown()
    assert heard.spans == []
