"""Which words of an engine or a registry are an outage, and which are a refusal."""

import httpx
import pytest

from services.builder.exporting import is_away
from services.builder.registry import Registry, RegistryRefused
from shared.work import Unavailable


@pytest.mark.parametrize(
    "reason",
    [
        "received unexpected HTTP status: 502 Bad Gateway",
        "received unexpected HTTP status: 503 Service Unavailable",
        "unexpected status from PUT request to https://r.example/v2/a/blobs/uploads/x: 500 Internal Server Error",
        "error parsing HTTP 504 response body: <title>504 Gateway Time-out</title>",
        "toomanyrequests: You have reached your pull rate limit",
        "received unexpected HTTP status: 429 Too Many Requests",
        'Put "https://r.example/v2/a/blobs/uploads/x": context deadline exceeded',
        "write tcp 10.0.0.1:53424->10.0.0.2:443: write: broken pipe",
        "net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)",
        "dial tcp 127.0.0.1:5000: connect: connection refused",
        'Put "http://127.0.0.1:5000/v2/a/blobs/uploads/x": EOF',
    ],
)
def test_a_registry_that_falters_is_away(reason: str) -> None:
    """A finished build waits for it."""
    assert is_away(reason)


@pytest.mark.parametrize(
    "reason",
    [
        "unauthorized: authentication required",
        "denied: requested access to main/geoffrey/web is denied",
        "manifest for r.example/a@sha256:5025035042950000 not found: manifest unknown",
        "received unexpected HTTP status: 413 Request Entity Too Large",
    ],
)
def test_a_registry_that_says_no_is_not_away(reason: str) -> None:
    """Nor where a digest reads like the number of an outage."""
    assert not is_away(reason)


@pytest.mark.parametrize(("status", "expected"), [(429, Unavailable), (503, Unavailable), (401, RegistryRefused)])
async def test_what_a_registry_answers(status: int, expected: type[Exception]) -> None:
    """Too many requests are so only now."""
    registry = Registry("r.example", transport=httpx.MockTransport(lambda _: httpx.Response(status)))
    with pytest.raises(expected):
        await registry.tags("main/todo/web")
    await registry.close()
