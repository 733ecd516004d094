"""What things are called on the engine and in the load balancer, and the labels by which they are found again.

Names read well and are cut where they get long; a hash over what they stand for keeps them apart
(`a-b/c` and `a/b-c` read alike).
"""

import hashlib
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from pydantic import ValidationError

from services.deployer.fence import Claim
from shared.contracts.places import Place

LONGEST = 63
"""Of a container's name: it is a DNS label on the engine's networks."""


class Role(StrEnum):
    """What a container or volume is, in the label `slipway.role`."""

    APPLICATION = "application"
    DATABASE = "database"
    JOB = "job"
    SCRATCH = "scratch"
    """A volume that an image asks for, and that goes with its container."""


def container_name(instance: str, place: Place, name: str, distinct: str) -> str:
    """`<instance>-<org>-<project>-<environment>-<name>-<short hash>`; `distinct` is what makes two of one name different."""
    return _cut(f"{instance}-{place.organization}-{place.project}-{place.environment}-{name}", f"{place}/{name}/{distinct}")


def network_name(instance: str, place: Place) -> str:
    """The network of an environment."""
    return _cut(f"{instance}-{place.organization}-{place.project}-{place.environment}", str(place))


def route_name(place: Place, service: str) -> str:
    """The name of a service's file, router and service in the load balancer; slugs have no dots, so it is unique."""
    return f"{place.subject}.{service}"


def place_labels(instance: str, place: Place) -> dict[str, str]:
    """What everything in an environment carries."""
    return {
        "slipway.instance": instance,
        "slipway.organization": place.organization,
        "slipway.project": place.project,
        "slipway.environment": place.environment,
    }


def place_of(carried: Mapping[str, str]) -> Place | None:
    """The environment that something's labels name; None where they name none. An image can bring labels of ours, with anything in them."""
    try:
        return Place.model_validate({name: carried.get(f"slipway.{name}") for name in Place.model_fields})
    except ValidationError:
        return None


def name_of(summary: Mapping[str, Any]) -> str:
    """The name of a listed container; its id where it has none, as a dead one may."""
    return str((summary["Names"] or [summary["Id"]])[0]).removeprefix("/")


def epoch_of(carried: Mapping[str, str]) -> int | None:
    """The epoch that made something, by its labels: 0 where they say nothing, None where they say no number."""
    try:
        return int(carried.get("slipway.epoch") or 0)
    except ValueError:
        return None


def grace_of(carried: Mapping[str, str]) -> float:
    """How long, in seconds, an application may take to stop, by its labels: 10 where they say no number."""
    try:
        return float(carried.get("slipway.grace", ""))
    except ValueError:
        return 10.0


def is_scratch(carried: Mapping[str, str]) -> bool:
    """Whether a volume is one that an image asked for, and goes with its container."""
    return carried.get("slipway.role") == Role.SCRATCH


def labels(instance: str, claim: Claim, role: Role, name: str, **more: str) -> dict[str, str]:
    """What a container or volume carries: where it belongs, and which step of which epoch made it."""
    return {
        **place_labels(instance, claim.place),
        "slipway.service": name,
        "slipway.role": role,
        "slipway.deployment": claim.deployment,
        "slipway.step": claim.step_key,
        "slipway.epoch": str(claim.epoch),
        **{f"slipway.{key}": value for key, value in more.items()},
    }


def short(text: str, length: int = 8) -> str:
    """A short hash."""
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def _cut(name: str, distinct: str) -> str:
    tail = f"-{short(distinct)}"
    return name[: LONGEST - len(tail)].rstrip("-") + tail
