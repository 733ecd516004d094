"""Facts: what is true after a step, named as its event is. Participants bring them in answers; events carry them on."""

import re
from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field, JsonValue

from shared.contracts.manifest import Manifest
from shared.contracts.releases import ReleaseKind
from shared.messages import Frozen, Slug

FACTS: dict[str, type["Fact"]] = {}
"""Every fact by its class name."""


class UnknownFact(ValueError):
    """A fact of a newer version, or nonsense."""


class Fact(Frozen):
    """What is true now. Its class name is the event's name: noun, then participle."""

    noun_participle: ClassVar[str] = ""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: object) -> None:
        noun, *rest = re.findall(r"[A-Z][a-z]+", cls.__name__)
        cls.noun_participle = f"{noun.lower()}.{'_'.join(rest).lower()}"
        FACTS[cls.__name__] = cls


def fact_of(name: str, data: Mapping[str, JsonValue]) -> Fact:
    """Reads a fact; raises `UnknownFact` for a name that this version does not have."""
    try:
        return FACTS[name].model_validate(data)
    except KeyError:
        raise UnknownFact(name) from None


# Auth


class DeploymentAuthorized(Fact):
    """The pusher may deploy here."""

    person: str | None = None
    rule: str = Field(description="The rule that decided")


class ApprovalRequested(Fact):
    """Somebody with the right must approve first."""

    rule: str
    reason: str = ""


class DeploymentApproved(Fact):
    """Somebody with the right let it go on."""

    by: str
    reason: str = ""


class DeploymentDenied(Fact):
    """The pusher may not deploy here, or an approver said no."""

    rule: str
    reason: str


# Build


class SourceInspected(Fact):
    """What the repository holds at the commit."""

    manifest: Manifest
    trees: dict[Slug, str] = Field(description="Service → hash over the trees of its paths and its Dockerfile")
    head: str | None = Field(default=None, description="Where the ref stands now")
    stale: bool = Field(
        default=False,
        description="The commit is a strict ancestor of the newest authorised one",
    )
    title: str = ""
    author: str = ""


class ImageBuilt(Fact):
    """The image is in the registry."""

    service: Slug
    image: str = Field(description="<registry>/<repository>@sha256:…")
    size_bytes: int = 0
    reused: bool = Field(default=False, description="An image with the same key was there")


class ImagePushed(Fact):
    """The target can pull it, and it is retained."""

    service: Slug
    image: str


# Deploy: database


class DatabaseProvisioned(Fact):
    """The database runs as asked."""

    database: Slug
    version: str
    made: bool = Field(description="This deployment made it")


class DatabaseRestored(Fact):
    """The database has its former spec again, or was detached with its volume kept."""

    database: Slug
    detached_volume: str | None = None


class DatabaseConnected(Fact):
    """The environment's containers reach it by its name."""

    database: Slug
    network: str


class DatabaseDisconnected(Fact):
    """The former network is as it was."""

    database: Slug


class DatabaseHealthy(Fact):
    """It answers queries."""

    database: Slug
    version: str


class JobSucceeded(Fact):
    """The job ended with 0."""

    job: Slug
    seconds: float
    log_tail: tuple[str, ...] = ()


class JobUndone(Fact):
    """The job's container is gone, and its `undo` has run where it has one. Rows written stay."""

    job: Slug
    ran_undo: bool


# Deploy: container, network, load balancer, DNS, TLS


class ContainerDeployed(Fact):
    """The candidate was started beside the former release."""

    service: Slug
    container: str
    already_running: bool = False


class ContainerRemoved(Fact):
    """The candidate is gone."""

    service: Slug


class ContainerConnected(Fact):
    """The candidate is on its networks."""

    service: Slug
    address: str


class NetworkRestored(Fact):
    """The former network is as it was."""

    service: Slug


class CandidateExposed(Fact):
    """The private route leads to the candidate."""

    service: Slug
    hosts: tuple[str, ...]


class RouteRemoved(Fact):
    """The private route is gone."""

    service: Slug


class DomainAssigned(Fact):
    """The names are this service's, and resolve."""

    service: Slug
    hosts: tuple[str, ...]


class DomainRestored(Fact):
    """The names are as they were."""

    service: Slug


class CertificateIssued(Fact):
    """A certificate is there for every name."""

    service: Slug
    fingerprint: str = ""
    not_after: str = ""


class CertificateRestored(Fact):
    """The former certificate is in use."""

    service: Slug


class CandidateHealthy(Fact):
    """Ready, and reached through load balancer and TLS."""

    service: Slug
    seconds: float


class TrafficSwitched(Fact):
    """The release takes the traffic."""

    service: Slug
    seconds: float = 0.0
    image: str = Field(default="", description="What takes it, by digest: the coordinator adds it to what the target says")
    former: str = Field(default="", description="The image that took it before; empty where the service is new")
    kind: ReleaseKind = Field(default=ReleaseKind.DEPLOY, description="Why the deployment runs")


class TrafficRestored(Fact):
    """The former release takes the traffic again."""

    service: Slug
    image: str = Field(default="", description="What takes it, by digest; empty where there was nothing before")


class EndpointHealthy(Fact):
    """The public address answers from the new release."""

    service: Slug
    url: str
    status: int | None = None


# Run


class ReleaseRetired(Fact):
    """The former release is stopped and gone."""

    service: Slug


class ServiceRemoved(Fact):
    """A service that the environment no longer has is gone."""

    service: Slug


class DatabaseDetached(Fact):
    """A database that the environment no longer has is detached; its volume is kept for days."""

    database: Slug
    detached_volume: str | None = None


class NothingToUndo(Fact):
    """The step had changed nothing."""

    service: Slug | None = None
