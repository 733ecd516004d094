"""Which images count as left over."""

from services.builder.engine import EngineImage
from tests.faults.strikes.images import unknown

KNOWN = {"127.0.0.1:5000/main/shop/web:key"}


def image(*tags: str, digests: tuple[str, ...] = ()) -> EngineImage:
    """One of ours on the engine."""
    return EngineImage("sha256:1", tags, digests, {})


def test_what_the_registry_has_or_a_container_uses_is_kept() -> None:
    """By tag, by digest, or by id."""
    digest = "127.0.0.1:5000/main/shop/web@sha256:2"
    assert not list(unknown([image(*KNOWN)], set(), KNOWN))
    assert not list(unknown([image(digests=(digest,))], {digest}, KNOWN))
    assert not list(unknown([image()], {"sha256:1"}, KNOWN))


def test_what_retention_never_comes_to_is_left() -> None:
    """A tag that the registry does not have, or an image that lost its last one."""
    (tagged,) = unknown([image("127.0.0.1:5000/main/shop/web:old")], set(), KNOWN)
    assert "web:old is left" in tagged
    (nameless,) = unknown([image()], {"sha256:9"}, KNOWN)
    assert "sha256:1 is left" in nameless
