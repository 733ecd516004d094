"""Names on the engine."""

from services.deployer.targets.local.naming import LONGEST, container_name, network_name, route_name
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
