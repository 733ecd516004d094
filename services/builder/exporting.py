"""Brings an image from the engine into the registry, where it has a digest."""

from services.builder.engine import Engine, EngineRefused
from services.builder.registry import ImageName, Registry, Stored
from shared.work import StepFailure, Unavailable

_AWAY = (
    *("connection refused", "connection reset", "broken pipe", "no such host", ": eof", "unexpected eof"),
    *("i/o timeout", "tls handshake timeout", "context deadline exceeded", "client.timeout exceeded"),
    *("internal server error", "bad gateway", "service unavailable", "gateway time", "too many requests", "toomanyrequests"),
)


async def export(engine: Engine, registry: Registry, name: ImageName) -> Stored:
    """Pushes a tagged image; idempotent, layers that are there are not sent again.

    Raises `Unavailable` where the registry is away, `StepFailure` where it says no.
    """
    try:
        digest = await engine.push(name)
    except EngineRefused as error:
        if is_away(str(error)):
            raise Unavailable(f"the registry {name.registry} does not answer: {error}") from error
        raise StepFailure("export_failed", f"the registry {name.registry} did not take the image: {error}") from None
    stored = await registry.find(name.repository, digest)
    if stored is None:
        raise Unavailable(f"the registry {name.registry} does not show {digest} yet")
    return stored


def is_away(reason: str) -> bool:
    """Whether a registry could not be reached, or not just now, by the words of the engine."""
    low = reason.lower()
    return any(sign in low for sign in _AWAY)
