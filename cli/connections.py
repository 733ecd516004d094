"""`slipway connections`: forges that tell of pushes."""

import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from cli.answers import Json
from cli.failures import Failed
from cli.session import command, listing, session
from cli.where import Project, place_of
from shared.forge_api import api_url_of, identity_of

_WHERE = {
    "github": "Settings → Webhooks → Add webhook. Content type: application/json. Events: pushes, pull requests.",
    "gitlab": "Settings → Webhooks. The secret is the “Secret token”. Trigger: push, tag push, merge request events. "
    "For a signing token let GitLab generate it, then: slipway connections rotate {name} --secret",
    "bitbucket": "Repository settings → Webhooks → Add webhook. Triggers: repository push; pull request created, updated, merged, declined.",
    "bitbucket-data-center": "Repository settings → Webhooks. Events: push; pull request opened, source branch updated, modified, merged, "
    "declined, deleted.",
    "gitea": "Settings → Webhooks → Add webhook. Content type: application/json. Trigger on: push, delete, pull request, its synchronization.",
}
"""Where a forge's hook is made, and what it shall tell."""

_LEFT_BEHIND = (
    "token-missing", "api-unknown", "token-refused", "token-weak", "repository-unknown", "hook-refused",
    "forge-refused", "forge-away", "forge-moved", "forge-limits", "forge-unreadable",
)  # fmt: skip
"""Problems of the hook at the forge that do not keep a connection from being removed."""
Name = Annotated[str, typer.Argument(help="Its name: deliveries arrive at /hooks/<name>.")]
Organization = Annotated[str | None, typer.Option("--organization", "-o", help="The organization.")]
OwnSecret = Annotated[
    bool, typer.Option("--secret", help="Read the hook's secret (GitLab's signing token: whsec_…) from standard input; else one is made.")
]
App = Annotated[
    str | None, typer.Option("--app", help="A GitHub App in the place of a token: its id. Its key comes by --app-key or standard input.")
]
Installation = Annotated[str, typer.Option(help="The app's installation, if not the one on the repository.")]
AppKey = Annotated[
    Path | None, typer.Option(help="The file with the app's private key, as GitHub made it (.pem).", exists=True, dir_okay=False)
]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(help="Forges that tell of pushes.")
    app.add_typer(group, name="connections")
    listing(group, list_connections)
    for name, function in (
        ("add", add),
        ("change", change),
        ("app", give_app),
        ("key", key),
        ("rotate", rotate),
        ("finish-rotation", finish),
        ("remove", remove),
    ):
        command(group, name)(function)


def _path(organization: str | None, name: str = "") -> str:
    base = f"/connections/{organization or session().settings.organization}"
    return f"{base}/{name}" if name else base


def list_connections(organization: Organization = None) -> None:
    """List connections."""
    items = session().api.items(_path(organization))
    columns = {
        "Name": "name",
        "Forge": "forge",
        "Project": "project",
        "Repository": "repository",
        "Hook": "hook_url",
        "Credential": "credential",
    }
    session().rows([{**each, "credential": _credential(each)} for each in items], columns, "No connections.")


def _credential(connection: Json) -> str:
    app = connection["app"]
    kinds = [f"app {app['id']}"] if app else ["token"] if connection["has_token"] else []
    return ", ".join([*kinds, *(["deploy key"] if connection["has_deploy_key"] else [])]) or "–"


def add(
    name: Name,
    clone_url: Annotated[str, typer.Argument(help="https://github.com/acme/todo.git")],
    forge: Annotated[str, typer.Option(help="github, gitlab, bitbucket, bitbucket-data-center, gitea")] = "github",
    project: Project = None,
    token: Annotated[bool, typer.Option("--token", help="Read a token (to clone, to set statuses) from standard input.")] = False,
    secret: OwnSecret = False,
    app: App = None,
    installation: Installation = "",
    app_key: AppKey = None,
) -> None:
    """Connect a repository. The hook's secret is printed now and never again. Of token and secret the token is read first."""
    place = place_of(project)
    body: Json = {"name": name, "project": place.project, "forge": forge, "clone_url": clone_url}
    if token:
        body["token"] = needed_line("Token")
    if app:
        body["app"] = read_app(app, installation, app_key)
    if secret:
        body["secret"] = needed_line("Secret")
    made = session().api.post(_path(place.organization), body)
    _show_secret(made)


def _show_secret(made: Json) -> None:
    session().show(made, f"Webhook address: {made['hook_url']}\nSecret:          {made['secret']}")
    session().note(f"On the forge: {_WHERE.get(made['forge'], '').format(name=made['name'])}")
    session().note("Copy the secret to the forge now: it is not shown again.")


def read_line(what: str) -> str:
    """A line of standard input; asked for where a person sits there."""
    return (
        str(typer.prompt(what, hide_input=True, err=True, default="", show_default=False))
        if sys.stdin.isatty()
        else sys.stdin.readline().strip()
    )


def needed_line(what: str) -> str:
    """A line of standard input that was announced: without one nothing is sent."""
    line = read_line(what)
    if not line:
        raise Failed(f"The {what.lower()} is empty.", "Give it on standard input.", code="empty")
    return line


def read_app(app: str, installation: str, key: Path | None) -> Json:
    """A GitHub App with its private key, from the file or from standard input."""
    if key is None and sys.stdin.isatty():
        raise Failed("The app's private key is missing.", "Say the file that GitHub made for it: --app-key app.private-key.pem")
    return {"id": app, "installation": installation, "private_key": key.read_text() if key else sys.stdin.read()}


def give_app(
    name: Name,
    app: Annotated[str, typer.Argument(help="The GitHub App's id.")],
    installation: Installation = "",
    app_key: AppKey = None,
    organization: Organization = None,
) -> None:
    """Have a GitHub App make the tokens of a connection, in the place of a token. Again, to exchange its key."""
    changed = session().api.patch(_path(organization, name), {"app": read_app(app, installation, app_key)})
    session().show(changed, f"{name} uses tokens of the app {app} from now on.")


def change(
    name: Name,
    address: Annotated[str, typer.Argument(help="Where the repository is now: https://github.com/acme/renamed")],
    api_url: Annotated[str | None, typer.Option(help="Where the forge's API is, if not at the usual place.")] = None,
    token: Annotated[bool, typer.Option("--token", help="Read a token from standard input: another server needs one of its own.")] = False,
    organization: Organization = None,
) -> None:
    """Have a connection lead to where its repository is now: renamed, or moved. The channel that shows deployments there goes along."""
    path_of(address)
    api, path = session().api, _path(organization, name)
    former = api.get(path)
    given: Json = {"token": needed_line("Token")} if token else {}
    try:
        changed = _led(path, former, {"clone_url": address, **({"api_url": api_url} if api_url else {}), **given})
    except Failed as failed:
        if failed.code != "token-needed":
            raise
        raise Failed(failed.message, f"slipway connections change {name} {address} --token", code=failed.code) from failed
    along = _takes_channel_along(f"/channels/{changed['organization']}/{name}", former, changed, given)
    session().show(changed, f"{name} leads to {changed['repository']} from now on{', and so does its channel' if along else ''}.")
    session().note(f"Its hook went along if it was renamed. Else it needs one: slipway connect {changed['forge']} {address} --name {name}")


def path_of(address: str) -> str:
    """The path of a repository's address."""
    try:
        return urlsplit(address).path
    except ValueError as error:
        raise typer.BadParameter(f"{address} is no address: {error}") from error


def _led(path: str, former: Json, wanted: Json) -> Json:
    """With a deploy key it is cloned over SSH: from where the forge says, or from the address itself."""
    api, address = session().api, wanted["clone_url"]
    if not former["has_deploy_key"]:
        return api.patch(path, wanted)
    asked = not address.startswith("ssh:")
    if asked and not (former["has_token"] or former["app"] or "token" in wanted):
        raise Failed(
            f"{former['name']} is cloned over SSH, and has no token to ask the forge from where.", "Say ssh://git@host/owner/name.git"
        )
    if asked:
        repository, besides = identity_of(address), {key: value for key, value in wanted.items() if key != "clone_url"}
        elsewhere = repository.partition("/")[0] != former["repository"].partition("/")[0]
        wanted = {"repository": repository, **({"api_url": api_url_of(former["forge"], address)} if elsewhere else {}), **besides}
    api.patch(path, wanted)
    api.post(f"{path}/deploy-key", {"install": True} if asked else {"clone_url": address})
    return api.get(path)


def _takes_channel_along(path: str, former: Json, changed: Json, given: Json) -> bool:
    """Whether deployments are shown there from now on: by the channel of its name, where it spoke to the same repository."""
    try:
        channel = session().api.find(path)
        if channel is None or channel["kind"] != "forge":
            return False
        if not (speaks_to(channel, former) or speaks_to(channel, changed)):
            session().note(
                f"The channel of its name shows deployments at {channel['repository']}: slipway channels remove {channel['name']}"
            )
            return False
        body = {"repository": changed["repository"], "api_url": changed["api_url"], **({"secret": given["token"]} if given else {})}
        session().api.patch(path, body)
    except Failed as failed:
        if failed.code != "forbidden":
            raise
        session().note(f"Its channel shows deployments where the repository was: {failed.message}")
        return False
    return True


def speaks_to(channel: Json, connection: Json) -> bool:
    """Whether a channel speaks to the connection's repository, where its token may go. Without an address: at the usual place."""
    same = all(channel[key] == connection[key] for key in ("forge", "repository"))
    return same and channel["api_url"] in ("", connection["api_url"])


def key(
    name: Name,
    fresh: Annotated[bool, typer.Option("--new", help="Make another key in its place.")] = False,
    trust: Annotated[bool, typer.Option("--trust", help="Ask the host for its keys anew, and know it by these from now on.")] = False,
    install: Annotated[bool, typer.Option("--install", help="Put it at the forge, with the connection's token or app.")] = False,
    clone_url: Annotated[str | None, typer.Option(help="Where it is cloned from over SSH: ssh://git@host:port/acme/todo.git")] = None,
    organization: Organization = None,
) -> None:
    """Show the key with which a connection clones over SSH; makes one where there is none."""
    path = f"{_path(organization, name)}/deploy-key"
    known = None if fresh or trust or install or clone_url else session().api.find(path)
    body: Json = {"fresh": fresh, "trust": trust, "install": install, "clone_url": clone_url}
    show_key(known or session().api.post(path, body))


def show_key(made: Json) -> None:
    """The public half, and by what the host is known."""
    hosts = [f"  {kind} {found}" for kind, found in made["host_fingerprints"].items()]
    session().show(made, "\n".join([made["public_key"], f"Cloned from {made['clone_url']}, whose host is known by", *hosts]))
    if not made["installed"]:
        session().note("Give the first line to the forge as a deploy key (access key) of the repository, to read with.")
    session().note("Compare the host's fingerprints with those that it publishes: nothing is shown to a host with other keys.")


def rotate(name: Name, organization: Organization = None, secret: OwnSecret = False) -> None:
    """Make a new secret; the former one is accepted until `finish-rotation`."""
    body: Json | None = {"secret": needed_line("Secret")} if secret else None
    _show_secret(session().api.post(f"{_path(organization, name)}/rotate", body))


def finish(name: Name, organization: Organization = None) -> None:
    """Accept the newest secret only."""
    session().show(session().api.post(f"{_path(organization, name)}/finish-rotation"), "Only the newest secret is accepted now.")


def remove(name: Name, organization: Organization = None) -> None:
    """Take its hook and deploy key away at the forge, and refuse its deliveries from now on."""
    api, path = session().api, _path(organization, name)
    hook, why = _remove_there(path, "hook")
    _, left = _remove_there(path, "deploy-key")
    api.delete(path)
    session().show({"removed": name, "hook_removed": hook}, f"{name} is removed{', and its hook at the forge' if hook else ''}.")
    if why:
        session().note(f"Its hook may still be at the forge: {why} Remove it there: it calls …/hooks/{name}")
    if _has_channel(organization, name):
        session().note(f"A channel of its name still shows deployments, and has its own token: slipway channels remove {name}")
    if left:
        session().note(f"Its deploy key may still be at the forge: {left} Remove it there: it is called Slipway {name}")


def _has_channel(organization: str | None, name: str) -> bool:
    """Whether deployments are shown on the forge; not for who may not see that."""
    try:
        channel = session().api.find(f"/channels/{organization or session().settings.organization}/{name}")
    except Failed as failed:
        if failed.code != "forbidden":
            raise
        return False
    return channel is not None and bool(channel["kind"] == "forge")


def _remove_there(path: str, what: str) -> tuple[bool, str]:
    """Whether it was taken away at the forge, and why it could not be tried: the connection goes all the same."""
    try:
        return bool(session().api.delete(f"{path}/{what}")["removed"]), ""
    except Failed as failed:
        if failed.code not in _LEFT_BEHIND:
            raise
        return False, failed.message
