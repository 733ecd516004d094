"""Variables of environments and of their services. They hold from the next deployment on."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, StringConstraints

from services.api.access import Asking
from services.api.dependencies import Using
from services.api.paging import Page, Paged
from services.api.refusals import not_found
from services.api.resources.environments import permitted
from services.api.store import places, variables
from services.api.store.variables import Variable
from services.api.transaction import TransactionalRoute, Within
from shared.messages import Slug

router = APIRouter(
    prefix="/environments/{organization}/{project}/{environment}/variables", tags=["variables"], route_class=TransactionalRoute
)

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,254}$")]
Value = Annotated[str, StringConstraints(max_length=32_768, pattern=r"^[^\x00]*$")]
OfService = Annotated[Slug | None, Query(description="A service; without it, the whole environment")]


class Setting(BaseModel):
    """A value; any Unicode without NUL."""

    value: Value


class Changes(BaseModel):
    """Many at once: all or none. Null unsets."""

    values: dict[Name, Value | None] = Field(max_length=1000)


class Changed(BaseModel):
    """The names whose value is another now."""

    changed: list[str]


@router.get("")
async def list_variables(
    organization: Slug,
    project: Slug,
    environment: Slug,
    window: Paged,
    caller: Asking,
    using: Using,
    service: OfService = None,
) -> Page[Variable]:
    """The newest versions: of a service, or of the environment and all its services."""
    await permitted(caller, "variable.read", using.pool, organization, project, environment)
    rows = await variables.find(using.pool, organization, project, environment, service, window.after, window.fetch)
    return Page.of(rows, window, variables.key)


@router.patch("")
async def change_variables(
    organization: Slug,
    project: Slug,
    environment: Slug,
    wanted: Changes,
    caller: Asking,
    unit: Within,
    service: OfService = None,
) -> Changed:
    """Sets and unsets many at once; what has its value already is left alone."""
    action = "variable.delete" if None in wanted.values.values() else "variable.write"
    place = (organization, project, environment)
    await permitted(caller, action, unit.reads, *place)
    await places.lock_environment(await unit.begin(), *place)
    changed = await variables.change(unit.connection, *place, service or "", dict(wanted.values), caller.id)
    if changed:
        await places.touch(unit.connection, *place)
    for name in changed:
        done = "deleted" if wanted.values[name] is None else "updated"
        await unit.changed(caller, done, "variable", name, *place, details=service or "")
    return Changed(changed=list(changed))


@router.put("/{name}")
async def set_variable(
    organization: Slug,
    project: Slug,
    environment: Slug,
    name: Name,
    wanted: Setting,
    caller: Asking,
    unit: Within,
    service: OfService = None,
) -> Changed:
    """Sets one."""
    changes = Changes(values={name: wanted.value})
    return await change_variables(organization, project, environment, changes, caller, unit, service)


@router.delete("/{name}", status_code=204)
async def unset_variable(
    organization: Slug,
    project: Slug,
    environment: Slug,
    name: Name,
    caller: Asking,
    unit: Within,
    service: OfService = None,
) -> None:
    """Unsets one."""
    changes = Changes(values={name: None})
    done = await change_variables(organization, project, environment, changes, caller, unit, service)
    if not done.changed:
        raise not_found("variable", name)
