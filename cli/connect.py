"""`slipway connect`: a repository of a forge, with its hook and its statuses, in one go."""

import time
from enum import StrEnum
from typing import Annotated

import typer

from cli.answers import Json
from cli.connections import App, AppKey, Installation, path_of, read_app, read_line, speaks_to
from cli.failures import Failed
from cli.patience import patience
from cli.session import command, session
from cli.where import Place, Project, place_of, slug_of
from shared.forge_api import identity_of

WAIT_S = 60.0
POLL_S = 0.5


class Forge(StrEnum):
    """The kinds of forge."""

    GITHUB = "github"
    GITLAB = "gitlab"
    BITBUCKET = "bitbucket"
    BITBUCKET_DATA_CENTER = "bitbucket-data-center"
    GITEA = "gitea"


_TOKENS = {
    Forge.GITHUB: "a fine-grained token for this repository: contents read; webhooks, commit statuses and deployments read and write",
    Forge.GITLAB: "a project access token: role Maintainer, scope api",
    Forge.BITBUCKET: "a repository access token: repositories write, webhooks read and write",
    Forge.BITBUCKET_DATA_CENTER: "an HTTP access token of the repository: repository admin",
    Forge.GITEA: "a token of an administrator of the repository: repository read and write",
}
"""What a token takes to clone, to make the hook and to set statuses."""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    command(app, "connect")(connect)


def connect(
    forge: Annotated[Forge, typer.Argument(help="What answers there; gitea for Forgejo, too.")],
    address: Annotated[str, typer.Argument(help="The repository: https://github.com/acme/todo")],
    project: Project = None,
    name: Annotated[str | None, typer.Option(help="The connection's name; else made of repository and forge.")] = None,
    url: Annotated[str | None, typer.Option(help="Slipway's public address, as the forge reaches it: https://slipway.example")] = None,
    api_url: Annotated[str | None, typer.Option(help="Where the forge's API is, if not at the usual place.")] = None,
    wait: Annotated[float, typer.Option(help="How many seconds to wait for the test; 0: not at all.", min=0)] = WAIT_S,
    statuses: Annotated[bool, typer.Option(help="Show each deployment on its commit.")] = True,
    app: App = None,
    installation: Installation = "",
    app_key: AppKey = None,
    deploy_key: Annotated[bool, typer.Option("--deploy-key", help="Clone over SSH with a key of its own, which the forge gets.")] = False,
) -> None:
    """Connect a repository: makes the hook at the forge, has it tested, and shows deployments there.

    Reads a token from standard input, or takes a GitHub App. Again, it finds what is there, takes a new token or key, and gives the
    hook the newest secret.
    """
    place, current, path_there = place_of(project), session(), path_of(address)
    name = name or slug_of(f"{path_there.strip('/').rpartition('/')[2].removesuffix('.git')}-{forge}")
    path = f"/connections/{place.organization}/{name}"
    former = _former(path, forge, address)
    credential: Json = {"app": read_app(app, installation, app_key)} if app else _token(forge, former)
    connection = _connection(place, path, former, {"name": name, "forge": forge, "clone_url": address, "api_url": api_url}, credential)
    if deploy_key:
        _give_key(path)
    shown = _shows_statuses(place, connection, credential) if statuses else False
    known = _newest(place, name)
    hook = _hook(path, url, name)
    current.note(f"The hook {'is made' if hook['created'] else 'was there, and is set'}: {hook['url']}")
    delivery = _arrived(place, name, known, wait) if hook["test"] and wait else None
    result = {"connection": name, "secret": connection.get("secret"), "hook": hook, "statuses": shown, "delivery": delivery}
    current.show(result, _summary(result))
    if not hook["test"]:
        current.note("The forge sends no test now: push something, and see it arrive: slipway deliveries")


def _token(forge: Forge, former: Json | None) -> Json:
    """The token that is given; none where the stored token, or the app, is good enough."""
    session().note(f"It takes {_TOKENS[forge]}.")
    stored = former is not None and (former["has_token"] or former["app"])
    token = read_line("Token (none: the stored one)" if stored else "Token")
    if not token and not stored:
        raise Failed("Without a token no hook can be made.", f"It takes {_TOKENS[forge]}. Without one: slipway connections add")
    return {"token": token} if token else {}


def _former(path: str, forge: Forge, address: str) -> Json | None:
    """The connection that is there already; raises where it is to another repository."""
    former = session().api.find(path)
    if former and not (former["forge"] == forge and _leads_to(former, address)):
        name = former["name"]
        moved = f"Was it renamed, or moved there? slipway connections change {name} {address}\n" if former["forge"] == forge else ""
        raise Failed(
            f"The connection {name} leads to {former['clone_url']} ({former['forge']}).", f"{moved}Take another: --name NAME", code="exists"
        )
    return former


def _leads_to(former: Json, address: str) -> bool:
    """With a deploy key it is cloned from another address than it is known by."""
    return _same(former["clone_url"]) == _same(address) or (former["has_deploy_key"] and former["repository"] == identity_of(address))


def _same(address: str) -> str:
    return address.removesuffix("/").removesuffix(".git").lower()


def _connection(place: Place, path: str, former: Json | None, wanted: Json, credential: Json) -> Json:
    api = session().api
    if former is None:
        made: Json = api.post(f"/connections/{place.organization}", {**wanted, "project": place.project, **credential})
        session().note(f"{made['name']} is connected. The hook's secret is in this answer only; the forge gets it now:")
        session().note(f"  {made['secret']}")
        return made
    if former["project"] != place.project:
        raise Failed(f"The connection {former['name']} is of the project {former['project']}.", "Take another: --name NAME", code="exists")
    return api.patch(path, credential) if credential else former


def _give_key(path: str) -> None:
    """The forge gets a key to read with; said with what the host is known by, which a person may compare."""
    made = session().api.post(f"{path}/deploy-key", {"install": True})
    session().note(f"The forge has the deploy key {made['fingerprint']}. It is cloned from {made['clone_url']}, whose host is known by")
    for kind, found in made["host_fingerprints"].items():
        session().note(f"  {kind} {found}")


def _shows_statuses(place: Place, connection: Json, credential: Json) -> bool:
    """Whether deployments are shown on the forge from now on: a channel of the connection's name. It takes a right of its own.

    The channel has the connection's token; without one, the connection's app makes tokens for it.
    """
    api, name, token = session().api, connection["name"], credential.get("token", "")
    path = f"/channels/{place.organization}"
    try:
        channel = api.find(f"{path}/{name}")
        if channel and speaks_to(channel, connection):
            if credential:
                api.patch(f"{path}/{name}", {"secret": token})
            return True
        if channel and channel["kind"] != "forge":
            session().note(f"The channel {name} is something else: slipway channels add NAME forge shows deployments on the forge.")
            return False
        if not token and not connection["app"]:
            session().note(f"Statuses need the token once more: slipway channels add {name} forge")
            return False
        if channel:  # of a connection that was removed: another server must not get this one's token
            api.delete(f"{path}/{name}")
        fields = {key: connection[key] for key in ("name", "project", "forge", "api_url", "repository")}
        api.post(path, {**fields, "kind": "forge", "secret": token})
    except Failed as failed:
        if failed.code != "forbidden":
            raise
        session().note(f"Deployments are not shown on the forge: {failed.message}")
        return False
    return True


def _hook(path: str, url: str | None, name: str) -> Json:
    try:
        return session().api.post(f"{path}/hook", {"public_url": url})
    except Failed as failed:
        if failed.code == "not-reachable":
            remedy = (
                "Put a proxy with TLS before Slipway and say its address: slipway connect … --url https://slipway.example "
                f"Until then the sweep finds pushes to {name} within about a minute."
            )
            raise Failed(f"{name} is connected, without a hook. {failed.message}", remedy, code=failed.code) from failed
        remedy = (
            f"{name} is connected, without a hook. Mend it and run this again; until then the sweep finds pushes within about a minute."
        )
        raise Failed(failed.message, remedy, code=failed.code) from failed


def _newest(place: Place, name: str) -> str:
    """The id of the newest delivery, empty where there is none."""
    found = session().api.items(f"/deliveries/{place.organization}", {"connection": name}, most=1)
    return next((str(each["id"]) for each in found), "")


def _arrived(place: Place, name: str, known: str, wait: float) -> Json:
    """Waits for a delivery that is newer than the one that was known."""
    deadline = time.monotonic() + wait
    with patience("waiting for the forge's test to arrive"):
        while time.monotonic() < deadline:
            remedy = "The hook is made. Look later: slipway deliveries"
            page = session().api.get_on(f"/deliveries/{place.organization}", remedy, {"connection": name, "limit": 1})
            for found in page["items"]:
                if found["id"] != known:
                    return {key: found[key] for key in ("id", "event", "received_at")}
            time.sleep(POLL_S)
    raise Failed(
        f"The hook is made, but no test has arrived within {wait:.0f} s.",
        "Look at its deliveries on the forge: they say what they met. Can the forge reach the address, through proxy and firewall? "
        "Until then the sweep finds pushes within about a minute.",
        code="no-delivery",
    )


def _summary(result: Json) -> str:
    lines = [f"{result['connection']} is connected."]
    if result["delivery"]:
        lines.append(f"The forge's test arrived: {result['delivery']['event']}")
    if result["statuses"]:
        lines.append("Deployments are shown on their commits.")
    return "\n".join(lines)
