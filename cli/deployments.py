"""Deploying, looking at deployments, and what people may do to them."""

import json
from datetime import datetime
from enum import StrEnum
from typing import Annotated

import typer
from rich.text import Text

from cli.answers import Json
from cli.failures import Failed
from cli.requesting import finish, judge, request, run, settled
from cli.session import command, listing, session
from cli.where import Environment, Place, Project, environment_path, git, newest_deployment, only_deployment, place_of
from shared.printable import printable

Id = Annotated[str, typer.Argument(help="A deployment's id.")]
Detach = Annotated[bool, typer.Option("--detach", "-d", help="Do not wait for its end.")]
Which = Annotated[str | None, typer.Argument(help="A deployment's id; without it, the newest of the project.")]
Live = Annotated[str | None, typer.Argument(help="A deployment's id; without it, the one that is under way in the project.")]
Waiting = Annotated[str | None, typer.Argument(help="A deployment's id; without it, the one that waits in the project.")]
Among = Annotated[str | None, typer.Option("--environment", "-e", help="The one of this environment.")]
Within = Annotated[str | None, typer.Option("--environment", "-e", help="The newest of this environment.")]


class State(StrEnum):
    """Where a deployment is."""

    AUTHORIZING = "authorizing"
    WAITING = "waiting"
    BUILDING = "building"
    QUEUED = "queued"
    RUNNING = "running"
    COMPENSATING = "compensating"
    STUCK = "stuck"
    SUCCEEDED = "succeeded"
    ROLLED_BACK = "rolled_back"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    DENIED = "denied"
    FAILED = "failed"


_UNDER_WAY = (State.AUTHORIZING, State.WAITING, State.BUILDING, State.QUEUED, State.RUNNING)
"""States from which a deployment can be cancelled, in their usual order: one that goes on meanwhile is found all the same."""


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(help="Look at deployments.")
    app.add_typer(group, name="deployments")
    listing(group, list_deployments)
    command(group, "show")(show)
    for name, function in (
        ("deploy", deploy),
        ("rollback", rollback),
        ("cancel", cancel),
        ("approve", approve),
        ("retry", retry),
        ("accept", accept),
        ("logs", logs),
    ):
        command(app, name)(function)


def deploy(
    project: Project = None,
    environment: Environment = "production",
    ref: Annotated[str | None, typer.Option(help="A branch or full ref.")] = None,
    commit: Annotated[str | None, typer.Option(help="A commit: its full id, or any name that the checkout knows.")] = None,
    again: Annotated[bool, typer.Option("--again", help="What was deployed last, once more.")] = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Build every image anew, with the newest base images, and replace every service.")
    ] = False,
    detach: Detach = False,
) -> None:
    """Deploy the newest change of what the environment follows, or what is named. Services that run all of it already stay as they are."""
    place = place_of(project)
    body: Json = {"organization": place.organization, "project": place.project, "environment": environment, "rebuild": rebuild}
    if again:
        body["again"] = newest_deployment(place, environment)
    if ref:
        body["ref"] = ref if ref.startswith("refs/") else f"refs/heads/{ref}"
    if commit:
        body["commit"] = git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}") or commit
    run(request("/deployments", body), detach=detach)


def list_deployments(
    project: Annotated[str | None, typer.Option("--project", "-p", help="Of one project only.")] = None,
    environment: Annotated[str | None, typer.Option("--environment", "-e", help="Of one environment only.")] = None,
    state: Annotated[State | None, typer.Option(help="In one state only.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")] = 20,
) -> None:
    """List deployments, the newest first."""
    place = place_of(project) if project else None
    query = {
        "organization": place.organization if place else None,
        "project": place.project if place else None,
        "environment": environment,
        "state": state,
    }
    found = [_shown(item) for item in session().api.items("/deployments", query, most=limit)]
    columns = {
        "Id": "id", "State": "said", "Where": "place", "Took": "took", "Commit": "short", "Title": "title", "By": "pusher",
    }  # fmt: skip
    session().rows(found, columns, "No deployments.")


def _shown(item: Json) -> Json:
    from shared.plain import duration

    more = {
        "place": f"{item['project']}/{item['environment']}",
        "said": item["state"].replace("_", " "),
        "short": (item["commit"] or "")[:8],
        "took": "" if item["seconds"] is None else duration(item["seconds"]),
        "title": printable(item["title"])[:60],
    }
    return {**item, **more}


def show(deployment: Which = None, project: Project = None, environment: Within = None) -> None:
    """Show a deployment with its steps."""
    current = session()
    found = deployment or newest_deployment(place_of(project), environment)
    page = current.api.get(f"/deployments/{found}")
    if current.as_json:
        current.show(page)
        return
    top = page["deployment"]
    current.out.print(Text(f"{top['project']}/{top['environment']}  {top['id']}: {top['state'].replace('_', ' ')}", style="bold"))
    if top["waiting_for"]:
        current.out.print(Text(f"waits for: {printable(top['waiting_for'])}", style="yellow"))
    if top["reason"]:
        current.out.print(Text(printable(top["reason"]), style="red"))
    for url in top["urls"]:
        current.out.print(Text(url))
    columns = {"Stage": "stage", "Step": "title", "State": "said", "Took": "took", "Attempts": "attempts"}
    current.rows([_shown_step(step) for step in page["steps"]], columns, "No steps yet.")


def _shown_step(step: Json) -> Json:
    from shared.plain import duration

    took = ""
    if step["started_at"] and step["ended_at"]:
        took = duration((datetime.fromisoformat(step["ended_at"]) - datetime.fromisoformat(step["started_at"])).total_seconds())
    return {**step, "said": step["state"].replace("_", " "), "took": took, "attempts": step["attempt"] if step["attempt"] > 1 else ""}


def rollback(
    project: Project = None,
    environment: Environment = "production",
    to: Annotated[str | None, typer.Option(help="A deployment that succeeded; without it, the one before the newest.")] = None,
    detach: Detach = False,
) -> None:
    """Return an environment, as one, to what it ran before. Rows written stay."""
    path = f"{environment_path(place_of(project), environment)}/rollback"
    run(request(path, {"to": to}), detach=detach)


def cancel(deployment: Live = None, project: Project = None, environment: Among = None, detach: Detach = False) -> None:
    """End a deployment; what it has changed already is undone."""
    from cli.live import follow

    found = deployment or str(only_deployment(place_of(project), environment, _UNDER_WAY, "cancel")["id"])
    settled(request(f"/deployments/{found}/cancel"))
    if detach:
        session().show({"deployment": found}, f"{found} is being cancelled.")
        return
    page = follow(found, logs=False)
    if page["deployment"]["state"] == "cancelled":
        session().show(page)
        return
    finish(page)


def approve(
    deployment: Waiting = None,
    project: Project = None,
    environment: Among = None,
    no: Annotated[bool, typer.Option("--no", help="Refuse it instead.")] = False,
    reason: Annotated[str, typer.Option(help="Why.")] = "",
) -> None:
    """Let a waiting deployment go on, or refuse it."""
    found = deployment or _that_waits(place_of(project), environment, refuse=no)
    settled(request(f"/deployments/{found}/approve", {"approved": not no, "reason": reason}))
    text = f"{found} is refused." if no else f"{found} is approved. Follow it: slipway logs -f {found}"
    session().show({"deployment": found, "approved": not no}, text)


def _that_waits(place: Place, environment: str | None, *, refuse: bool) -> str:
    """The id of the only one. Of a change request each commit is approved by itself: one that nobody has seen may have come meanwhile."""
    found = only_deployment(place, environment, ("waiting",), "approve")
    if found["environment_kind"] == "preview" and not refuse:
        what = f"{found['id']} is of a change request, and an approval is of one commit."
        raise Failed(what, f"Look at {found['commit']}, then: slipway approve {found['id']}", code="unseen")
    return str(found["id"])


def retry(deployment: Id) -> None:
    """Try again the undo at which a deployment is stuck."""
    settled(request(f"/deployments/{deployment}/retry"))
    session().show({"deployment": deployment}, f"It is tried again. Follow it: slipway logs -f {deployment}")


def accept(deployment: Id) -> None:
    """Accept a stuck deployment as it stands: its environment is free again."""
    settled(request(f"/deployments/{deployment}/accept"))
    session().show({"deployment": deployment}, "Accepted as it stands.")


def logs(
    deployment: Which = None,
    project: Project = None,
    environment: Within = None,
    step: Annotated[str, typer.Option(help="Of one step only.")] = "",
    follow_it: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the deployment ends.")] = False,
    tail: Annotated[int, typer.Option("--tail", "-n", min=1, max=5000, help="The last lines.")] = 500,
) -> None:
    """Print what a deployment's steps printed; with -f, the whole pipeline live, of the newest deployment where none is named.

    What a service prints while it runs has the container engine: docker logs NAME, with a name from slipway status.
    """
    from cli.live import follow, sent

    current = session()
    if follow_it and step:
        raise typer.BadParameter("--follow shows every step: leave --step out")
    found = deployment or newest_deployment(place_of(project), environment)
    if deployment and follow_it:
        current.api.get(f"/deployments/{found}")  # a stream is waited for, as if the platform would come back
    if follow_it and not current.as_json:
        finish(follow(found))
        return
    if follow_it:
        for item in sent(current.api, f"/deployments/{found}/stream"):
            data = json.loads(item.data)
            print(json.dumps({"kind": item.event, "data": data}, ensure_ascii=False), flush=True)
            if item.event == "end":
                judge(found, data["state"], found)
        return
    lines = current.api.get(f"/deployments/{found}/logs", {"step": step, "tail": tail})["items"]
    if current.as_json:
        current.show({"items": lines})
        return
    for line in lines:
        current.out.print(Text.assemble((f"{line['step']} ", "dim"), printable(line["text"])))
