"""Service settings: what the manifest does not say. Where both speak, the manifest stands."""

import re
from typing import Annotated

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from services.api.access import Asking
from services.api.dependencies import Using
from services.api.paging import Page, Paged
from services.api.refusals import not_found
from services.api.resources.environments import permitted
from services.api.resources.variables import Value
from services.api.store import places, services
from services.api.store.services import ServiceSettings
from services.api.transaction import TransactionalRoute, Within
from shared.contracts.manifest import MIB
from shared.messages import Slug, utc_now
from shared.problems import Problem

router = APIRouter(
    prefix="/environments/{organization}/{project}/{environment}/services", tags=["services"], route_class=TransactionalRoute
)

_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")


def _host(text: str) -> str:
    """A host name in lower case, internationalised names as their ASCII form (RFC 5891)."""
    try:
        host = text.strip().rstrip(".").encode("idna").decode().lower()
    except UnicodeError:
        raise ValueError(f"{text} is not a host name") from None
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in host.split(".")):
        raise ValueError(f"{text} is not a host name")
    return host


Host = Annotated[str, StringConstraints(max_length=1000), AfterValidator(_host)]
Argument = Annotated[str, StringConstraints(max_length=255, pattern=r"^[^\x00]*$")]


class SettingsWanted(BaseModel):
    """The whole of it: what is missing is not said."""

    domains: list[Host] = Field(default=[], max_length=100)
    memory_bytes: int = Field(default=0, ge=0, le=2**50, description="0: not said; else at least 6 MiB")
    cpu: float = Field(default=0, ge=0, le=1024, description="0: not said")
    build_args: dict[Argument, Value] = Field(default={}, max_length=100)


@router.get("")
async def list_services(
    organization: Slug, project: Slug, environment: Slug, window: Paged, caller: Asking, using: Using
) -> Page[ServiceSettings]:
    """The services of which the catalogue says something."""
    await permitted(caller, "service.read", using.pool, organization, project, environment)
    rows = await services.find(using.pool, organization, project, environment, window.after, window.fetch)
    return Page.of(rows, window, lambda row: row.service)


@router.get("/{service}")
async def get_service(organization: Slug, project: Slug, environment: Slug, service: Slug, caller: Asking, using: Using) -> ServiceSettings:
    """What the catalogue says of one service."""
    await permitted(caller, "service.read", using.pool, organization, project, environment)
    found = await services.get(using.pool, organization, project, environment, service)
    if found is None:
        raise not_found("settings of the service", service)
    return found


@router.put("/{service}")
async def put_service(
    organization: Slug,
    project: Slug,
    environment: Slug,
    service: Slug,
    wanted: SettingsWanted,
    caller: Asking,
    unit: Within,
) -> ServiceSettings:
    """Says it anew. A domain belongs to one service of one organization. Holds from the next deployment on."""
    await permitted(caller, "service.update", unit.reads, organization, project, environment)
    if 0 < wanted.memory_bytes < 6 * MIB:
        raise Problem(422, "memory-too-small", "No container runs in less than 6 MiB; leave memory_bytes at 0 to say nothing.")
    domains = tuple(sorted(set(wanted.domains)))
    entry = ServiceSettings(service, domains, wanted.memory_bytes, wanted.cpu, wanted.build_args, utc_now())
    stored, others = await services.put(await unit.begin(), organization, project, environment, entry)
    if others:
        hosts = ", ".join(claim.host for claim in others)
        raise Problem(409, "domain-taken", f"Another service has {hosts} already: a domain belongs to one service.")
    await places.touch(unit.connection, organization, project, environment)
    await unit.changed(caller, "updated", "service", service, organization, project, environment)
    return stored


@router.delete("/{service}", status_code=204)
async def delete_service(organization: Slug, project: Slug, environment: Slug, service: Slug, caller: Asking, unit: Within) -> None:
    """Says nothing any more; its domains are free. What runs goes on until the next deployment."""
    await permitted(caller, "service.update", unit.reads, organization, project, environment)
    if not await services.delete(await unit.begin(), organization, project, environment, service):
        raise not_found("settings of the service", service)
    await places.touch(unit.connection, organization, project, environment)
    await unit.changed(caller, "deleted", "service", service, organization, project, environment)
