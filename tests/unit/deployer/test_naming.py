"""Names on the engine, and what labels say."""

import pytest

from services.deployer.targets.local.naming import LONGEST, container_name, grace_of, network_name, route_name
from shared.contracts.places import Place


def test_names_that_read_alike_are_kept_apart() -> None:
    """Slugs with hyphens in other places give other names."""
    one = Place(organization="a-b", project="c", environment="d")
    other = Place(organization="a", project="b-c", environment="d")
    assert container_name("slw", one, "web", "k") != container_name("slw", other, "web", "k")
    assert network_name("slw", one) != network_name("slw", other)
    assert route_name(one, "web") != route_name(other, "web")
    assert container_name("slw", one, "web", "k1") != container_name("slw", one, "web", "k2")


def test_long_names_are_cut() -> None:
    """However long the slugs, a name fits, and differs from its neighbour's."""
    place = Place(organization="o" * 40, project="p" * 40, environment="e" * 40)
    names = {container_name("slw-123456", place, "s" * 40, key) for key in ("k1", "k2")}
    assert len(names) == 2
    assert all(len(name) <= LONGEST for name in names)
    assert container_name("slw", Place(organization="m", project="p", environment="e"), "web", "k").startswith("slw-m-p-e-web-")


@pytest.mark.parametrize(("said", "grace_s"), [({"slipway.grace": "2.5"}, 2.5), ({"slipway.grace": "a while"}, 10.0), ({}, 10.0)])
def test_the_grace_of_a_container_that_says_none(said: dict[str, str], grace_s: float) -> None:
    """Somebody else's container with our labels keeps no undo from its end."""
    assert grace_of(said) == grace_s
