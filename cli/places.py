"""`slipway organization`, `slipway project` and `slipway environment`: what there is."""

from enum import StrEnum
from typing import Annotated

import typer
from rich.text import Text

from cli.answers import Json
from cli.moments import seconds_of
from cli.previews import facts, followed
from cli.requesting import request, run
from cli.session import command, listing, session
from cli.where import Project, environment_path, place_of

Organization = Annotated[str, typer.Argument(help="The organization.")]
Name = Annotated[str, typer.Argument(help="[ORGANIZATION/]PROJECT")]
Slug = Annotated[str, typer.Argument(help="The environment.")]
Ref = Annotated[str | None, typer.Option(help="The branch or ref that it follows; * matches any part.")]

Most = Annotated[int | None, typer.Option(help="Previews at once; 5 where nothing is said.")]
TimeToLive = Annotated[str | None, typer.Option("--ttl", help="How long a preview stays without an update: 12h, 7d (the usual).")]


class Following(StrEnum):
    """What an environment follows."""

    PUSHES = "pushes"
    CHANGE_REQUESTS = "change-requests"


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    organizations = typer.Typer(help="Organizations.")
    app.add_typer(organizations, name="organization")
    listing(organizations, list_organizations)
    command(organizations, "create")(create_organization)
    command(organizations, "delete")(delete_organization)
    projects = typer.Typer(help="Projects.")
    app.add_typer(projects, name="project")
    listing(projects, list_projects)
    command(projects, "create")(create_project)
    command(projects, "delete")(delete_project)
    environments = typer.Typer(help="Environments.")
    app.add_typer(environments, name="environment")
    listing(environments, list_environments)
    command(environments, "show")(show_environment)
    command(environments, "create")(create_environment)
    command(environments, "change")(change_environment)
    command(environments, "remove")(remove_environment)


def list_organizations() -> None:
    """List organizations in which you have a role."""
    session().rows(session().api.items("/organizations"), {"Organization": "slug", "Name": "name"}, "No organizations.")


def create_organization(
    organization: Organization, display: Annotated[str | None, typer.Option("--name", help="Any display name.")] = None
) -> None:
    """Make an organization; you are its admin."""
    made = session().api.post("/organizations", {"slug": organization, "name": display})
    session().show(made, f"{organization} is there, and you are its admin.")


def delete_organization(organization: Organization) -> None:
    """Delete an organization without projects and channels; all roles in it end with it."""
    session().api.delete(f"/organizations/{organization}")
    session().show({"deleted": organization}, f"{organization} is gone.")


def list_projects(
    organization: Annotated[str | None, typer.Option("--organization", "-o", help="Of one organization only.")] = None,
) -> None:
    """List projects."""
    api = session().api
    organizations = [organization] if organization else [item["slug"] for item in api.items("/organizations")]
    found = [item for name in organizations for item in api.items(f"/projects/{name}")]
    session().rows(found, {"Organization": "organization", "Project": "slug", "Name": "name"}, "No projects.")


def create_project(project: Name, display: Annotated[str | None, typer.Option("--name", help="Any display name.")] = None) -> None:
    """Make a project."""
    place = place_of(project)
    made = session().api.post(f"/projects/{place.organization}", {"slug": place.project, "name": display})
    session().show(made, f"{place} is there.")


def delete_project(project: Name) -> None:
    """Delete a project without environments; its secrets go with it, for good."""
    place = place_of(project)
    session().api.delete(f"/projects/{place.organization}/{place.project}")
    session().show({"deleted": str(place)}, f"{place} is gone.")


def list_environments(project: Project = None) -> None:
    """List a project's environments."""
    place = place_of(project)
    current = session()
    items = list(current.api.items(f"/environments/{place.organization}/{place.project}"))
    columns = {
        "Environment": "slug",
        "Kind": "kind",
        "Follows": "followed",
        "Name": "name",
        "Target": "target",
        "Approval": "needs_approval",
    }
    current.rows(items if current.as_json else [{**item, "followed": followed(item)} for item in items], columns, "No environments.")


def show_environment(environment: Slug, project: Project = None) -> None:
    """Show what an environment follows, and how long a preview stays."""
    place, current = place_of(project), session()
    found = current.api.get(environment_path(place, environment))
    if current.as_json:
        current.show(found)
        return
    likes = current.api.items(f"/environments/{place.organization}/{place.project}") if found["preview_of"] else ()
    template = next((item for item in likes if item["slug"] == found["preview_of"]), None)
    for title, value in facts(found, template).items():
        current.out.print(Text.assemble((f"{title:<11}", "dim"), value))


def full_ref(ref: str | None) -> str | None:
    """`main` → `refs/heads/main`."""
    return ref if ref is None or ref.startswith("refs/") else f"refs/heads/{ref}"


def create_environment(
    environment: Slug,
    project: Project = None,
    kind: Annotated[str, typer.Option(help="development, staging, production or preview")] = "production",
    ref: Ref = None,
    approval: Annotated[bool, typer.Option("--approval", help="Each deployment waits for approval.")] = False,
    follow: Annotated[Following, typer.Option(help="What --ref names: what is pushed, or where change requests go.")] = Following.PUSHES,
    most: Most = None,
    ttl: TimeToLive = None,
    connection: Annotated[str | None, typer.Option(help="Of this connection only.")] = None,
) -> None:
    """Make an environment. Nothing runs there before the first deployment; change requests that it follows get one like it each."""
    place = place_of(project)
    previews: Json = {"follows": "change_requests"} if follow is Following.CHANGE_REQUESTS else {}
    previews |= {name: value for name, value in (("most", most), ("ttl_s", None if ttl is None else seconds_of(ttl))) if value is not None}
    body: Json = {
        "slug": environment, "kind": kind, "ref": full_ref(ref), "needs_approval": approval, "connection": connection, **previews,
    }  # fmt: skip
    made = session().api.post(f"/environments/{place.organization}/{place.project}", body)
    session().show(made, f"{place}/{environment} follows {followed(made)}.")


def change_environment(
    environment: Slug,
    project: Project = None,
    ref: Ref = None,
    approval: Annotated[bool | None, typer.Option("--approval/--no-approval", help="Whether deployments wait for approval.")] = None,
    most: Most = None,
    ttl: TimeToLive = None,
) -> None:
    """Change what it follows, whether its deployments wait for approval, or how many previews there are and for how long."""
    said = (("ref", full_ref(ref)), ("needs_approval", approval), ("most", most), ("ttl_s", None if ttl is None else seconds_of(ttl)))
    body = {name: value for name, value in said if value is not None}
    if not body:
        raise typer.BadParameter("say what shall change: --ref, --approval, --no-approval, --most or --ttl")
    changed = session().api.patch(environment_path(place_of(project), environment), body)
    waits = " Its deployments wait for approval by an admin." if changed["needs_approval"] else ""
    session().show(changed, f"{environment} follows {followed(changed)}.{waits}")


def remove_environment(
    environment: Slug,
    project: Project = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Do not wait for its end.")] = False,
) -> None:
    """Remove everything that runs there. Volumes of its databases are kept for days."""
    place = place_of(project)
    if not yes and session().as_json:
        raise typer.BadParameter("--json cannot ask: it needs --yes")
    if not yes:
        typer.confirm(f"Remove everything that runs in {place}/{environment}?", abort=True, err=True)
    run(request(environment_path(place, environment), method="DELETE"), detach=detach)
