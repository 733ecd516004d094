"""gRPC between services: mutual TLS, each service with a certificate of its own from the control plane's authority.

Calls carry the caller's trace (rpc_tracing.py).
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
from grpc import aio

from shared.rpc_tracing import Calling, Serving

SERVER_NAME = "slipway.internal"
"""The name that every server's certificate holds."""
CALL_S = 5.0
"""Default deadline of a call."""
FORGE_CALL_S = 35.0
"""Of one for which the other side asks a forge, twice at most."""
_LARGEST = 64 * 1024 * 1024
# Of a message. gRPC's own limit, 4 MiB, is full with some hundreds of connections with long addresses, and then nobody hears any more what
# the catalogue holds: this is enough for thousands.
_SIZES = (("grpc.max_receive_message_length", _LARGEST), ("grpc.max_send_message_length", _LARGEST))


@asynccontextmanager
async def channel(address: str, tls_dir: Path, name: str) -> AsyncIterator[aio.Channel]:
    """A channel to a service at host:port, presenting `<name>.pem`."""
    credentials = grpc.ssl_channel_credentials(*_files(tls_dir, name))
    options = (
        ("grpc.ssl_target_name_override", SERVER_NAME),
        ("grpc.max_reconnect_backoff_ms", 1000),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.enable_http_proxy", 0),
        *_SIZES,
    )
    interceptors = [Calling()]
    async with aio.secure_channel(
        address,
        credentials,
        options=options,
        interceptors=interceptors,  # type: ignore[arg-type]  # the stubs know no interceptor
    ) as opened:
        yield opened


@asynccontextmanager
async def server(address: str, tls_dir: Path, name: str, register: Callable[[aio.Server], None]) -> AsyncIterator[int]:
    """Serves on host:port (port 0: a free one) and yields the port; callers without a certificate of the authority are refused."""
    root, key, certificate = _files(tls_dir, name)
    credentials = grpc.ssl_server_credentials([(key, certificate)], root_certificates=root, require_client_auth=True)
    running = aio.server(interceptors=[Serving()], options=_SIZES)
    register(running)
    port = running.add_secure_port(address, credentials)
    await running.start()
    try:
        yield port
    finally:
        await running.stop(grace=2)


def _files(tls_dir: Path, name: str) -> tuple[bytes, bytes, bytes]:
    return (tls_dir / "ca.pem").read_bytes(), (tls_dir / f"{name}.key").read_bytes(), (tls_dir / f"{name}.pem").read_bytes()
