"""`slipway people`, `slipway token`, `slipway audit`: who may do what, and who did."""

from typing import Annotated

import typer

from cli.answers import Json
from cli.moments import seconds_of
from cli.session import command, listing, session

Person = Annotated[str, typer.Argument(help="A person's id: slipway people list")]
Resource = Annotated[str, typer.Argument(help="organization/ORG, project/ORG/PROJECT or environment/ORG/PROJECT/ENVIRONMENT")]
Forge = Annotated[
    str,
    typer.Argument(
        help="github, gitlab or bitbucket for the public ones; KIND:HOST for a server of your own, such as gitlab:git.acme.example"
    ),
]
Organization = Annotated[str | None, typer.Option("--organization", "-o", help="The organization.")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    people = typer.Typer(help="People, their forge accounts and roles.")
    app.add_typer(people, name="people")
    listing(people, list_people)
    for name, function in (
        ("add", add),
        ("remove", remove),
        ("grant", grant),
        ("revoke", revoke),
        ("link", link),
        ("unlink", unlink),
    ):
        command(people, name)(function)
    token = typer.Typer(help="Tokens: shown once.")
    app.add_typer(token, name="token")
    listing(token, list_tokens)
    command(token, "create")(create_token)
    command(token, "revoke")(revoke_token)
    command(app, "whoami")(who_am_i)
    command(app, "audit")(audit)


def _organization(name: str | None) -> str:
    return name or session().settings.organization


def list_people(organization: Organization = None) -> None:
    """List those who have a role in an organization."""
    items = session().api.items("/people", {"organization": _organization(organization)})
    shown = [
        {
            **item,
            "held": [f"{role['role']} on {role['resource']}" for role in item["roles"]],
            "accounts": [f"{account['forge']}:{account['login'] or account['account_id']}" for account in item["identities"]],
        }
        for item in items
    ]
    session().rows(shown, {"Id": "id", "Name": "name", "Mail": "email", "Roles": "held", "Accounts": "accounts"}, "Nobody.")


def add(
    name: Annotated[str, typer.Argument(help="Any name.")],
    email: Annotated[str, typer.Option(help="Mail address.")] = "",
) -> None:
    """Add somebody; give them a role and a token next."""
    made = session().api.post("/people", {"name": name, "email": email})
    session().show(made, made["id"])
    session().note(f"Give them a role: slipway people grant {made['id']} deployer project/ORG/PROJECT")


def remove(person: Person) -> None:
    """Remove somebody; their tokens are worth nothing from then on."""
    session().api.delete(f"/people/{person}")
    session().show({"removed": person}, "Removed.")


def grant(person: Person, role: Annotated[str, typer.Argument(help="viewer, deployer or admin")], resource: Resource) -> None:
    """Give a role."""
    given = session().api.put(f"/people/{person}/roles", {"role": role, "resource": resource})
    session().show(given, f"They are {role} on {resource} now.")


def revoke(person: Person, resource: Resource) -> None:
    """Take the role on a resource away."""
    session().api.delete(f"/people/{person}/roles", {"resource": resource})
    session().show({"revoked": resource}, f"They have no role on {resource} any more.")


def link(
    person: Person,
    forge: Forge,
    login: Annotated[str, typer.Argument(help="The account's name there; none on Bitbucket Cloud, where names are not unique.")] = "",
    account_id: Annotated[str, typer.Option(help="Its immutable id there.")] = "",
) -> None:
    """Take pushes from a forge account for theirs. Give its name, its id, or both."""
    body = {"forge": forge, "login": login, "account_id": account_id}
    session().show(session().api.put(f"/people/{person}/identities", body), "Linked.")


def unlink(
    person: Person,
    forge: Forge,
    login: Annotated[str, typer.Argument(help="The account's name there.")] = "",
    account_id: Annotated[str, typer.Option(help="Its immutable id there.")] = "",
) -> None:
    """Take them for theirs no longer."""
    session().api.delete(f"/people/{person}/identities", {"forge": forge, "login": login, "account_id": account_id})
    session().show({"unlinked": login or account_id}, "Unlinked.")


def list_tokens(person: Annotated[str, typer.Option(help="Somebody else's.")] = "") -> None:
    """List tokens by their first characters."""
    items = session().api.items("/tokens", {"person": person})
    columns = {"Id": "id", "Name": "name", "Begins": "prefix", "Made": "created_at", "Expires": "expires_at", "Used": "last_used_at"}
    session().rows((item for item in items if item["revoked_at"] is None), columns, "No tokens.")


def create_token(
    name: Annotated[str, typer.Argument(help="What it is for.")],
    person: Annotated[str | None, typer.Option(help="For somebody else.")] = None,
    expires: Annotated[str | None, typer.Option(help="After 90d, 12h, 30m; never without it.")] = None,
) -> None:
    """Make a token. It is printed now and never again."""
    body = {"name": name, "person": person, "expires_in_s": seconds_of(expires) if expires else 0}
    made = session().api.post("/tokens", body)
    session().show(made, made["plain"])
    session().note("Keep it: it is shown only now. Use it as SLIPWAY_TOKEN.")


def revoke_token(token: Annotated[str, typer.Argument(help="A token's id: slipway token list")]) -> None:
    """Make a token worth nothing."""
    session().api.delete(f"/tokens/{token}")
    session().show({"revoked": token}, "Revoked.")


def who_am_i() -> None:
    """Say whose token is used."""
    me = session().api.get("/me")
    session().show(me, f"{me['name']} ({me['id']}): {', '.join(me['roles']) or 'no role'}")


def audit(
    organization: Organization = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")] = 50,
) -> None:
    """List who did, or was denied, what: the newest first."""
    current, name = session(), _organization(organization)
    items = list(current.api.items(f"/audit/{name}", most=limit))
    if not current.as_json:
        people = {person["id"]: person["name"] for person in current.api.items("/people", {"organization": name})}
        items = [_named(item, people) for item in items]
    columns = {"Time": "time", "Who": "who", "What": "action", "Allowed": "allowed", "On": "resource", "Details": "said"}
    current.rows(items, columns, "Nothing yet.")


def _named(item: Json, people: dict[str, str]) -> Json:
    """People by their names; of a denial the rule."""
    said = item["details"] if item["allowed"] else item["rule"]
    for person, name in people.items():
        said = said.replace(person, name)
    return {**item, "who": people.get(item["subject"], item["subject"]), "said": said}
