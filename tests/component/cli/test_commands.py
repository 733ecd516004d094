"""Commands as people and programs call them."""

import asyncio
import json

import pytest

from services.api.previews import open_request
from services.api.store.previews import Request
from shared.contracts.events import Event, RequestRefused
from shared.contracts.facts import ApprovalRequested, DeploymentApproved
from shared.contracts.places import EnvironmentKind
from shared.contracts.requests import ApproveRequested, CancelRequested, DeployRequested, RollbackRequested
from tests.component.api.running import RunningApi, fetched, published
from tests.component.api.story import Story, rolled_back, successful
from tests.component.cli.conftest import Slipway, answer
from tests.polling import eventually


async def test_projects_environments_and_variables(slipway: Slipway) -> None:
    """Made, listed, set, imported and unset; with --json for programs, as tables for people."""
    answer(await slipway("project", "create", "todo", "--name", "To do", "--json"))
    made = answer(await slipway("environment", "create", "production", "-p", "todo", "--json"))
    assert made["ref"] == "refs/heads/main"
    changed = answer(await slipway("env", "set", "A=1", "B=x=y", "-p", "todo", "--json"))
    assert changed == {"changed": ["A", "B"]}
    answer(await slipway("env", "import", "-p", "todo", "-s", "web", "--json", given="# c\nC='3'\n"))
    answer(await slipway("env", "unset", "A", "-p", "todo", "--json"))
    listed = answer(await slipway("env", "list", "-p", "todo", "--json"))["items"]
    assert [(item["service"], item["name"], item["value"]) for item in listed] == [("", "B", "x=y"), ("web", "C", "3")]
    table = await slipway("env", "list", "-p", "todo")
    assert "x=y" in table.output
    assert "Service" in table.output


async def test_what_follows_change_requests(slipway: Slipway, api: RunningApi) -> None:
    """Made with its limits, changed, and shown with what is made of it."""
    await slipway("project", "create", "todo")
    made = await slipway(
        "environment", "create", "previews", "-p", "todo", "--kind", "preview", "--follow", "change-requests", "--ref", "main",
        "--most", "3", "--ttl", "12h",
    )  # fmt: skip
    assert "previews follows change requests into refs/heads/main." in made.output
    changed = answer(await slipway("environment", "change", "previews", "-p", "todo", "--ttl", "2d", "--json"))
    assert (changed["most"], changed["ttl_s"]) == (3, 2 * 86400)
    assert "3 at once, removed 2d after the last update" in (await slipway("environment", "show", "previews", "-p", "todo")).output
    async with api.opened.parts.pool.acquire() as connection, connection.transaction():
        request = Request("main", "todo", "hub", "github.com/acme/todo", "7", "refs/pull/7/head", "refs/heads/main", "Due", "", fork=True)
        await open_request(connection, request)
    listed = await slipway("environment", "list", "-p", "todo")
    assert "change request 7 of a fork" in listed.output
    shown = await slipway("environment", "show", "pr-7", "-p", "todo")
    for said in ("#7 Due", "previews", "unless it is updated", "none"):
        assert said in shown.output
    wrong = await slipway("environment", "change", "previews", "-p", "todo", "--ttl", "soon")
    assert wrong.exit_code == 2


async def test_a_secret_comes_from_standard_input(slipway: Slipway) -> None:
    """Set, listed without its value, revealed; an empty one is refused."""
    await slipway("project", "create", "todo")
    await slipway("environment", "create", "production", "-p", "todo")
    answer(await slipway("secret", "set", "KEY", "-p", "todo", "--json", given="canary\n"))
    listed = await slipway("secret", "list", "-p", "todo", "--json")
    assert "canary" not in listed.output
    revealed = await slipway("secret", "reveal", "KEY", "-p", "todo")
    assert revealed.stdout == "canary\n"
    empty = await slipway("secret", "set", "KEY", "-p", "todo", given="")
    assert empty.exit_code == 1


async def test_people_and_tokens(slipway: Slipway, api: RunningApi) -> None:
    """Somebody gets a role and a token, and uses it; after its end it is worth nothing."""
    await slipway("project", "create", "todo")
    answer(await slipway("connections", "add", "hub", "https://github.com/acme/todo.git", "-p", "todo", "--json"))
    person = answer(await slipway("people", "add", "Zoë", "--json"))["id"]
    answer(await slipway("people", "grant", person, "viewer", "project/main/todo", "--json"))
    answer(await slipway("people", "link", person, "github", "zoe", "--json"))
    made = answer(await slipway("token", "create", "laptop", "--person", person, "--expires", "1d", "--json"))
    me = answer(await slipway("whoami", "--json", SLIPWAY_TOKEN=made["plain"]))
    assert me["name"] == "Zoë"
    denied = await slipway("env", "set", "A=1", "-p", "todo", SLIPWAY_TOKEN=made["plain"])
    assert denied.exit_code == 1
    assert "deployer" in denied.stderr
    answer(await slipway("token", "revoke", made["id"], "--json"))
    after = await slipway("whoami", SLIPWAY_TOKEN=made["plain"])
    assert after.exit_code == 1
    assert "revoked" in after.stderr
    assert api.token not in after.output


async def test_an_account_without_a_name_is_linked_by_its_id(slipway: Slipway) -> None:
    """As auth says it of a push from Bitbucket Cloud, where names are not unique."""
    await slipway("project", "create", "todo")
    address = "https://bitbucket.org/acme/todo.git"
    answer(await slipway("connections", "add", "cloud", address, "--forge", "bitbucket", "-p", "todo", "--json"))
    person = answer(await slipway("people", "add", "Zoë", "--json"))["id"]
    answer(await slipway("people", "grant", person, "viewer", "organization/main", "--json"))
    answer(await slipway("people", "link", person, "bitbucket", "--account-id", "557058:0a1b", "--json"))
    assert "bitbucket:557058:0a1b" in (await slipway("people", "list")).stdout
    answer(await slipway("people", "unlink", person, "bitbucket", "--account-id", "557058:0a1b", "--json"))
    assert "bitbucket" not in (await slipway("people", "list")).stdout
    nobody = await slipway("people", "link", person, "bitbucket")
    assert (nobody.exit_code, "its login or its id" in nobody.stderr) == (1, True)


async def test_an_account_is_of_a_server_that_a_connection_leads_to(slipway: Slipway) -> None:
    """The same login on gitlab.com and on a server of one's own may be two people; a server that none leads to is a slip of the pen."""
    await slipway("project", "create", "todo")
    ada, eve = [answer(await slipway("people", "add", name, "--json"))["id"] for name in ("Ada", "Eve")]
    early = await slipway("people", "link", ada, "gitlab", "ada")
    assert (early.exit_code, "no connection yet" in early.stderr) == (1, True)
    for name, host in (("own", "git.acme.example"), ("public", "gitlab.com")):
        address = f"https://{host}/acme/todo.git"
        answer(await slipway("connections", "add", name, address, "--forge", "gitlab", "-p", "todo", "--json"))
    assert answer(await slipway("people", "link", ada, "gitlab:Git.Acme.Example", "ada", "--json"))["forge"] == "gitlab:git.acme.example"
    assert answer(await slipway("people", "link", eve, "gitlab:gitlab.com", "ada", "--json"))["forge"] == "gitlab"
    for wrong in ("gitlab:git.acme.exmaple", "gitlba", "github", "gitea:git.acme.example", "gitlab:"):
        refused = await slipway("people", "link", ada, wrong, "ada2")
        assert (refused.exit_code, wrong in refused.stderr) == (1, True)
        assert "gitlab, gitlab:git.acme.example" in refused.stderr
    said = (await slipway("audit")).stdout
    assert "gitlab:git.acme.example login ada" in said
    answer(await slipway("people", "unlink", eve, "gitlab:gitlab.com", "ada", "--json"))
    again = await slipway("people", "unlink", eve, "gitlab", "ada")
    assert (again.exit_code, "not linked" in again.stderr) == (1, True)


async def test_connections_and_channels(slipway: Slipway) -> None:
    """Secrets are shown once."""
    await slipway("project", "create", "todo")
    made = answer(await slipway("connections", "add", "hub", "https://github.com/acme/todo.git", "-p", "todo", "--json"))
    assert made["secret"] not in (await slipway("connections", "list", "--json")).output
    rotated = answer(await slipway("connections", "rotate", "hub", "--json"))
    assert rotated["secret"] != made["secret"]
    hook = answer(await slipway("channels", "add", "hook", "webhook", "--url", "https://example.com", "--json"))
    assert hook["secret"].startswith("whsec_")
    outside = (
        "channels",
        "add",
        "tool",
        "webhook",
        "--url",
        "https://example.com/tool",
        "--format",
        "cdevents",
        "--event",
        "build.*",
        "--json",
    )
    assert answer(await slipway(*outside))["format"] == "cdevents"
    answer(await slipway("channels", "remove", "tool", "--json"))
    renewed = await slipway("channels", "rotate", "hook")
    assert renewed.stdout.startswith("Signing secret: whsec_")
    assert "finish-rotation hook" in renewed.stderr
    assert (await slipway("channels", "finish-rotation", "hook")).stdout == "hook signs with the newest secret only.\n"
    answer(await slipway("channels", "add", "chat", "chat", "--json", given="slack://token\n"))
    listed = answer(await slipway("channels", "list", "--json"))["items"]
    assert [item["url"] for item in listed] == ["slack://…", "https://example.com"]


async def test_a_deployment_is_followed_to_its_end(slipway: Slipway, api: RunningApi, nats_url: str) -> None:
    """`deploy` waits for the deployment that its wish leads to, shows it live, and ends with 0."""
    await api.with_todo()
    running = asyncio.create_task(slipway("deploy", "-p", "todo", "--ref", "main"))
    request = DeployRequested.decode(await fetched(nats_url, "coordinator-requests", "REQUESTS"))
    assert request.ref == "refs/heads/main"
    story = successful(request.id)
    await published(nats_url, *story.events)
    result = await running
    assert result.exit_code == 0, result.output
    for part in ("Build", "build image web", "switch traffic web", "Live", "https://web.production.todo.main.localhost:8443"):
        assert part in result.output


async def test_a_rollback_that_fails_ends_with_1(slipway: Slipway, api: RunningApi, nats_url: str) -> None:
    """The end and where to look are said; the request names the deployment to return to."""
    await api.with_todo()
    running = asyncio.create_task(slipway("rollback", "-p", "todo", "--to", "01abc"))
    request = RollbackRequested.decode(await fetched(nats_url, "coordinator-requests", "REQUESTS"))
    assert request.to == "01abc"
    story = Story()
    story.created(request.id)
    story.until_the_check()
    story.rolls_back()
    await published(nats_url, *story.events)
    result = await running
    assert result.exit_code == 1
    assert "Rolling back" in result.output
    assert f"slipway explain {story.deployment}" in result.stderr


async def test_a_refused_wish_says_why(slipway: Slipway, api: RunningApi, nats_url: str) -> None:
    """The coordinator's reason, status 1."""
    await api.with_todo()
    running = asyncio.create_task(slipway("deploy", "-p", "todo", "--again", "--json"))
    result = await running
    assert result.exit_code == 1
    assert "Nothing was deployed" in json.loads(result.stderr)["error"]["message"]
    running = asyncio.create_task(slipway("deploy", "-p", "todo", "--rebuild"))
    request = DeployRequested.decode(await fetched(nats_url, "coordinator-requests", "REQUESTS"))
    assert (request.place.environment, request.rebuild) == ("production", True)
    refusal = RequestRefused(request=request.id, reason="no change of refs/heads/main is known")
    await published(nats_url, Event.of(refusal, "main", "todo", "production"))
    result = await running
    assert result.exit_code == 1
    assert "no change of refs/heads/main is known" in result.stderr


async def told(api: RunningApi, nats_url: str, story: Story) -> None:
    """The story is in the archive."""
    await published(nats_url, *story.events)

    async def ended() -> bool:
        response = await api.client.get(f"/deployments/{story.deployment}")
        return response.status_code == 200 and bool(response.json()["deployment"]["ended_at"])

    await eventually(ended)


async def test_explain_prints_the_tree(slipway: Slipway, api: RunningApi, nats_url: str) -> None:
    """Causes with times, the failure with its log's end, what was undone; the newest without an id."""
    await api.with_todo()
    story = rolled_back()
    await told(api, nats_url, story)
    result = await slipway("explain", "-p", "todo")
    assert result.exit_code == 0, result.output
    for part in (
        "todo/production",
        "✗ check container web",
        "attempt 2: no answer",
        "│ Error: relation “todos” does not exist",
        "undo: deploy container web",
    ):
        assert part in result.output
    tree = answer(await slipway("explain", story.deployment, "--json"))["tree"]
    assert sum(len(row["events"]) for row in tree) == len(story.events)


async def test_lists_logs_and_pages_of_deployments(slipway: Slipway, api: RunningApi, nats_url: str) -> None:
    """What happened, for people and for programs."""
    await api.with_todo()
    story = successful()
    await told(api, nats_url, story)
    listed = answer(await slipway("deployments", "list", "-p", "todo", "--json"))["items"]
    assert [item["id"] for item in listed] == [story.deployment]
    shown = await slipway("deployments", "show", story.deployment)
    assert "switch traffic web" in shown.output
    assert answer(await slipway("logs", story.deployment, "--json")) == {"items": []}
    followed = await slipway("logs", "-f", story.deployment)
    assert followed.exit_code == 0
    assert "Live" in followed.output


async def test_a_bare_command_lists(slipway: Slipway, api: RunningApi, nats_url: str) -> None:
    """With its own options and --json; what is meant for another command is not swallowed."""
    await api.with_todo()
    story = successful()
    await told(api, nats_url, story)
    listed = answer(await slipway("deployments", "-p", "todo", "--json"))["items"]
    assert [item["id"] for item in listed] == [story.deployment]
    assert story.deployment in (await slipway("deployments")).output
    await slipway("env", "set", "A=1", "-p", "todo")
    assert answer(await slipway("env", "-p", "todo", "--json"))["items"][0]["name"] == "A"
    for group in ("project", "organization", "people", "token", "connections", "channels"):
        assert answer(await slipway(group, "--json")) == answer(await slipway(group, "list", "--json"))
    assert answer(await slipway("secret", "-p", "todo", "--json")) == {"items": []}
    assert answer(await slipway("environment", "-p", "todo", "--json"))["items"][0]["slug"] == "production"
    misplaced = await slipway("env", "-p", "todo", "set", "A=2")
    assert misplaced.exit_code == 2
    assert "write --project after `set`" in misplaced.stderr


async def test_the_newest_deployment_is_followed_without_an_id(slipway: Slipway, api: RunningApi, nats_url: str) -> None:
    """Of all environments of the project, or of the one that is named."""
    await api.with_todo()
    older, newer = successful(), Story(environment="staging")
    newer.created()
    newer.until_the_check()
    newer.rolls_back()
    for story in (older, newer):
        await told(api, nats_url, story)
    followed = await slipway("logs", "-f", "-p", "todo")
    assert newer.deployment in followed.stderr
    assert "todo/staging" in followed.output
    assert "Live" in (await slipway("logs", "-f", "-p", "todo", "-e", "production")).output


async def test_organizations(slipway: Slipway) -> None:
    """Made, used by whoever made it, and deleted."""
    answer(await slipway("organization", "create", "acme", "--name", "Acme & Söhne", "--json"))
    answer(await slipway("project", "create", "acme/shop", "--json"))
    assert "Acme & Söhne" in (await slipway("organization")).output
    full = await slipway("organization", "delete", "acme")
    assert (full.exit_code, "still has projects" in full.stderr) == (1, True)
    answer(await slipway("project", "delete", "acme/shop", "--json"))
    answer(await slipway("organization", "delete", "acme", "--json"))


async def test_cancel_waits_for_the_end(slipway: Slipway, api: RunningApi, nats_url: str) -> None:
    """It is the one that is under way, where none is named, and ends with 0 when that ended as cancelled."""
    from shared.contracts.events import DeploymentCancelled

    await api.with_todo()
    story = Story()
    story.created()
    await published(nats_url, *story.events)

    async def known() -> bool:
        return (await api.client.get(f"/deployments/{story.deployment}")).status_code == 200

    await eventually(known)
    running = asyncio.create_task(slipway("cancel", "-p", "todo"))
    request = CancelRequested.decode(await fetched(nats_url, "coordinator-requests", "REQUESTS"))
    assert request.target_deployment == story.deployment
    story.tell(DeploymentCancelled(by="zoe"), outcome="cancelled", cause=request.id)
    await published(nats_url, story.events[-1])
    result = await running
    assert result.exit_code == 0, result.output
    assert "Cancelled by zoe" in result.output


async def test_which_deployment_is_meant(slipway: Slipway, api: RunningApi, nats_url: str) -> None:
    """The only one that waits; of none and of several it is said; a change request's commit has to be named."""
    await api.with_todo()
    waiting, other, preview = Story(), Story(environment="staging"), Story(environment="pr-7", kind=EnvironmentKind.PREVIEW)
    for story in (waiting, other, preview):
        story.created()
        story.tell(ApprovalRequested(rule="environment asks", reason="production asks for approval"))
    none = await slipway("approve", "-p", "todo")
    assert (none.exit_code, "There is nothing to approve in main/todo." in none.stderr) == (1, True)
    await published(nats_url, *waiting.events, *other.events, *preview.events)

    async def known() -> bool:
        return len((await api.client.get("/deployments?state=waiting")).json()["items"]) == 3

    await eventually(known)
    several = await slipway("approve", "-p", "todo")
    assert several.exit_code == 1
    assert f"{other.deployment}  staging: waiting for production asks for approval" in several.stderr
    assert "Name one: slipway approve ID" in several.stderr
    unseen = await slipway("approve", "-p", "todo", "-e", "pr-7")
    assert (unseen.exit_code, f"then: slipway approve {preview.deployment}" in unseen.stderr) == (1, True)
    running = asyncio.create_task(slipway("approve", "-p", "todo", "-e", "production", "--json"))
    request = ApproveRequested.decode(await fetched(nats_url, "coordinator-requests", "REQUESTS"))
    assert (request.target_deployment, request.approved) == (waiting.deployment, True)
    waiting.tell(DeploymentApproved(by="zoe"), cause=request.id)
    await published(nats_url, waiting.events[-1])
    assert answer(await running)["deployment"] == waiting.deployment


@pytest.mark.parametrize(
    ("words", "status"),
    [(("nonsense",), 2), (("env", "set", "NOVALUE", "-p", "todo"), 2), (("deploy", "--nonsense"), 2), (("env", "list", "-p", "none"), 1)],
)
async def test_exit_statuses(slipway: Slipway, words: tuple[str, ...], status: int) -> None:
    """2 for wrong usage, 1 for what failed."""
    assert (await slipway(*words)).exit_code == status


async def test_what_is_not_there_says_where_to_look(slipway: Slipway) -> None:
    """`slipway logs web` is a first guess: a name where an id belongs."""
    result = await slipway("logs", "web")
    assert result.exit_code == 1
    assert "There is no deployment web." in result.stderr
    assert "See which there are: slipway deployments" in result.stderr


@pytest.mark.parametrize("token", ["", " ", "slw_\u00fc", "slw_a\nb"])
async def test_a_variable_without_a_token_is_named(slipway: Slipway, token: str) -> None:
    """A pipeline's secret that is not there is an empty variable."""
    result = await slipway("whoami", SLIPWAY_TOKEN=token)
    assert result.exit_code == 1
    assert "SLIPWAY_TOKEN holds no token." in result.stderr


async def test_when_nothing_runs_it_says_slipway_up(slipway: Slipway) -> None:
    """What, where, what to do; JSON with --json."""
    result = await slipway("deployments", "list", SLIPWAY_URL="http://127.0.0.1:9")
    assert result.exit_code == 1
    assert "does not answer at http://127.0.0.1:9" in result.stderr
    assert "slipway up" in result.stderr
    as_json = await slipway("deployments", "list", "--json", SLIPWAY_URL="http://127.0.0.1:9")
    assert json.loads(as_json.stderr)["error"]["code"] == "not-running"
