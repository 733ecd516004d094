"""What `slipway status` says of the containers that the platform cannot be without."""

from pathlib import Path

from embedded.home import Home
from embedded.status import ContainerStatus, lacking

REGISTRY = ContainerStatus("slw-1-registry", "registry", "running", "Up 2 hours", "registry")
HOME = Home(Path("/srv/slipway"))


def test_a_removed_container_and_a_stopped_one_are_told_apart() -> None:
    """The supervisor makes the one again, and leaves the other to whoever stopped it."""
    stopped = ContainerStatus("slw-1-traefik", "load-balancer", "exited", "Exited (0) 2 minutes ago", "traefik")
    (told,) = lacking(HOME, (REGISTRY,))
    assert told.what == "the load balancer's container was removed"
    (told,) = lacking(HOME, (REGISTRY, stopped))
    assert (told.what, told.remedy) == ("the load balancer does not run: slw-1-traefik is exited", "docker start slw-1-traefik")
