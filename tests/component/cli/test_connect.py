"""`slipway connect`: one command from a repository's address and a token to a hook whose test has arrived."""

from pathlib import Path

import httpx
import pytest
from starlette.responses import JSONResponse

from services.api.forges import HOOKS
from shared import ssh
from tests.component.api.github_apps import APP, GitHubApps, pem
from tests.component.api.running import RunningApi
from tests.component.builder.ssh_forge import running_ssh_forge
from tests.component.cli.conftest import Slipway, answer
from tests.component.cli.hook_servers import HookServer, hook_server

TOKEN = "forge-token\n"


def _words(server: HookServer, hooks: httpx.AsyncClient, *more: str) -> tuple[str, ...]:
    api = ("--api-url", f"{server.url}/2.0") if server.kind == "bitbucket" else ()
    return ("connect", server.kind, server.address, "-p", "main/todo", "--url", str(hooks.base_url), *api, *more)


@pytest.mark.parametrize("kind", HOOKS)
async def test_a_repository_is_connected_in_one_go(slipway: Slipway, hooks: httpx.AsyncClient, kind: str) -> None:
    """The hook is there, with the secret that is shown once; its test arrives; deployments will be shown."""
    async with hook_server(kind) as server:
        done = answer(await slipway(*_words(server, hooks, "--json"), given=TOKEN))
        name = f"todo-{kind}"
        assert (done["connection"], done["statuses"], done["hook"]["created"]) == (name, True, True)
        assert (done["delivery"] is not None) == (kind != "bitbucket")
        (hook,) = server.hooks.values()
        assert done["secret"] in str(hook)
        assert done["hook"]["url"] == f"{str(hooks.base_url).rstrip('/')}/hooks/{name}"
        listed = answer(await slipway("deliveries", "--json"))["items"]
        assert [each["connection"] for each in listed] == ([] if kind == "bitbucket" else [name])
        assert all(each["changes"] == [] for each in listed)
        (channel,) = answer(await slipway("channels", "--json"))["items"]
        assert (channel["kind"], channel["forge"], channel["repository"]) == ("forge", kind, _identity(server))
        (connection,) = answer(await slipway("connections", "--json"))["items"]
        assert (connection["hook_url"], connection["has_token"]) == (done["hook"]["url"], True)


def _identity(server: HookServer) -> str:
    return f"127.0.0.1/{'scm/' if server.kind == 'bitbucket-data-center' else ''}acme/todo"


async def test_a_repository_is_connected_with_a_github_app(slipway: Slipway, hooks: httpx.AsyncClient, tmp_path: Path) -> None:
    """Its key comes from a file or from standard input; hooks are made with its tokens, and so will statuses be."""
    key, apps = tmp_path / "app.pem", GitHubApps()
    key.write_text(pem())
    async with hook_server("github", apps) as server:
        words = _words(server, hooks, "--app", APP, "--json")
        done = answer(await slipway(*words, "--app-key", str(key)))
        assert (done["statuses"], done["hook"]["created"], done["delivery"]["event"]) == (True, True, "ping")
        assert [rights for rights, _ in apps.tokens.values()] == [{"repository_hooks": "write"}]
        assert answer(await slipway(*words, given=pem()))["hook"]["created"] is False
        again = await slipway(*_words(server, hooks), given="\n")
        assert (again.exit_code, "PRIVATE" in again.output) == (0, False)
        assert f"app {APP}" in (await slipway("connections")).stdout
        exchanged = answer(await slipway("connections", "app", "todo-github", APP, "--installation", "1", "--json", given=pem()))
        assert exchanged["app"] == {"id": APP, "installation": "1"}
        refused = await slipway(*_words(server, hooks), given="\n")
        assert (refused.exit_code, "GitHub knows no installation 1 of the app 4711" in refused.stderr) == (1, True)


@pytest.mark.parametrize("kind", HOOKS)
async def test_a_deploy_key_is_put_at_the_forge(slipway: Slipway, hooks: httpx.AsyncClient, kind: str, tmp_path: Path) -> None:
    """Once, to read with; the forge says where it is cloned from, and its host's keys are asked for and shown. It goes with the connection."""
    async with hook_server(kind) as server:
        with running_ssh_forge(tmp_path / "sshd") as forge:
            server.ssh_url = forge.url(Path("/acme/todo.git"))
            name = f"todo-{kind}"
            first = await slipway(*_words(server, hooks, "--deploy-key", "--wait", "0"), given=TOKEN)
            assert (first.exit_code, ssh.fingerprint(forge.host_key) in first.stderr) == (0, True), first.output
            assert (await slipway(*_words(server, hooks, "--deploy-key", "--wait", "0"), given="\n")).exit_code == 0
            shown = answer(await slipway("connections", "key", name, "--json"))
            assert (len(server.keys), shown["installed"], shown["clone_url"]) == (1, True, server.ssh_url)
            assert shown["public_key"] in str(server.keys)
            renewed = answer(await slipway("connections", "key", name, "--new", "--install", "--json"))
            assert (len(server.keys), renewed["public_key"] in str(server.keys)) == (1, True)
            assert renewed["fingerprint"] != shown["fingerprint"]
            assert "token, deploy key" in (await slipway("connections")).stdout
        assert (await slipway("connections", "remove", name)).stdout.startswith(f"{name} is removed")
        assert (server.hooks, server.keys) == ({}, {})


@pytest.mark.parametrize("kind", HOOKS)
async def test_a_second_run_finds_the_hook(slipway: Slipway, hooks: httpx.AsyncClient, kind: str) -> None:
    """After a rotation it gives the hook the newest secret; the stored token is enough; another address moves the hook."""
    async with hook_server(kind) as server:
        answer(await slipway(*_words(server, hooks, "--json"), given=TOKEN))
        rotated = answer(await slipway("connections", "rotate", f"todo-{kind}", "--json"))
        again = answer(await slipway(*_words(server, hooks, "--json"), given="\n"))
        assert (again["hook"]["created"], again["secret"]) == (False, None)
        (hook,) = server.hooks.values()
        assert rotated["secret"] in str(hook)
        moved = ("connect", kind, server.address, "-p", "main/todo", "--url", f"{hooks.base_url}elsewhere", "--wait", "0", "--json")
        assert answer(await slipway(*moved, given="\n"))["hook"]["created"] is False
        assert len(server.hooks) == 1
        assert f"elsewhere/hooks/todo-{kind}" in str(server.hooks)


async def test_a_renamed_repository_is_followed(slipway: Slipway, hooks: httpx.AsyncClient) -> None:
    """The connection says how, when it is connected again: its hook and its statuses go along, and what it clones with."""
    async with hook_server("gitea") as server:
        answer(await slipway(*_words(server, hooks, "--json"), given=TOKEN))
        server.name = "renamed"
        words = ("connect", "gitea", server.address, "--name", "todo-gitea", "-p", "main/todo", "--url", str(hooks.base_url), "--wait", "0")
        refused = await slipway(*words, given="\n")
        assert (refused.exit_code, f"slipway connections change todo-gitea {server.address}" in refused.stderr) == (1, True)
        changed = await slipway("connections", "change", "todo-gitea", server.address)
        assert changed.stdout == "todo-gitea leads to 127.0.0.1/acme/renamed from now on, and so does its channel.\n", changed.output
        assert answer(await slipway("connections", "change", "todo-gitea", server.address, "--json"))["clone_url"] == server.address
        (channel,) = answer(await slipway("channels", "--json"))["items"]
        assert (channel["repository"], channel["api_url"]) == ("127.0.0.1/acme/renamed", f"{server.url}/api/v1")
        again = answer(await slipway(*words, "--json", given="\n"))
        assert (again["hook"]["created"], again["statuses"], len(server.hooks)) == (False, True, 1)


async def test_a_connection_that_goes_to_another_server_needs_a_token_for_it(slipway: Slipway, hooks: httpx.AsyncClient) -> None:
    """Neither its own nor its channel's is sent there; with the new one both go."""
    async with hook_server("gitea") as former, hook_server("gitea") as server:
        answer(await slipway(*_words(former, hooks, "--json"), given=TOKEN))
        refused = await slipway("connections", "change", "todo-gitea", server.address)
        assert (refused.exit_code, "--token" in refused.stderr) == (1, True), refused.output
        changed = await slipway("connections", "change", "todo-gitea", server.address, "--token", given=TOKEN)
        assert (changed.exit_code, "and so does its channel" in changed.stdout) == (0, True), changed.output
        (channel,) = answer(await slipway("channels", "--json"))["items"]
        assert channel["api_url"] == f"{server.url}/api/v1"


async def test_a_renamed_repository_is_cloned_with_its_key_from_where_the_forge_says(
    slipway: Slipway, hooks: httpx.AsyncClient, tmp_path: Path
) -> None:
    """The key stays the one that it has; an address over SSH is asked for where there is no token to ask the forge with."""
    async with hook_server("gitea") as server:
        with running_ssh_forge(tmp_path / "sshd") as forge:
            server.ssh_url = forge.url(Path("/acme/todo.git"))
            assert (await slipway(*_words(server, hooks, "--deploy-key", "--wait", "0"), given=TOKEN)).exit_code == 0
            server.name, server.ssh_url = "renamed", forge.url(Path("/acme/renamed.git"))
            changed = answer(await slipway("connections", "change", "todo-gitea", server.address, "--json"))
            assert (changed["clone_url"], changed["repository"]) == (server.ssh_url, "127.0.0.1/acme/renamed")
            assert len(server.keys) == 1


@pytest.mark.parametrize("kind", HOOKS)
async def test_removing_a_connection_takes_its_hook_away(slipway: Slipway, hooks: httpx.AsyncClient, kind: str) -> None:
    """Nothing of it is left at the forge."""
    async with hook_server(kind) as server:
        answer(await slipway(*_words(server, hooks, "--json"), given=TOKEN))
        removed = await slipway("connections", "remove", f"todo-{kind}")
        assert removed.stdout == f"todo-{kind} is removed, and its hook at the forge.\n"
        assert server.hooks == {}
    assert answer(await slipway("connections", "--json"))["items"] == []


async def test_a_channel_of_a_former_connection_does_not_get_another_s_token(slipway: Slipway, hooks: httpx.AsyncClient) -> None:
    """Its connection was removed, and its name leads to another server now: deployments are shown there, and the token goes there."""
    async with hook_server("gitea") as former, hook_server("gitea") as server:
        for each in (former, server):
            done = answer(await slipway(*_words(each, hooks, "--json"), given=TOKEN))
            assert done["statuses"]
            (channel,) = answer(await slipway("channels", "--json"))["items"]
            assert (channel["name"], channel["api_url"]) == ("todo-gitea", f"{each.url}/api/v1")
            removed = await slipway("connections", "remove", "todo-gitea")
            assert "slipway channels remove todo-gitea" in removed.stderr


async def test_a_hook_that_cannot_be_removed_is_said(slipway: Slipway, hooks: httpx.AsyncClient) -> None:
    """The connection goes all the same: without a token, or with one that lost its rights."""
    async with hook_server("gitea") as server:
        answer(await slipway(*_words(server, hooks, "--json"), given=TOKEN))
        server.refusal = JSONResponse({"message": "token does not have at least one of required scope(s)"}, 403)
        removed = await slipway("connections", "remove", "todo-gitea")
        assert (removed.exit_code, removed.stdout) == (0, "todo-gitea is removed.\n")
        assert "Gitea answered 403" in removed.stderr
        assert "Remove it there: it calls …/hooks/todo-gitea" in removed.stderr
    answer(await slipway("connections", "add", "plain", server.address, "--forge", "gitea", "-p", "main/todo", "--json"))
    assert "has no token" in (await slipway("connections", "remove", "plain")).stderr


@pytest.mark.parametrize(
    ("status", "said"),
    [(401, "does not take the token"), (403, "may lack the right to make hooks"), (404, "no such repository"), (422, "answered 422")],
)
async def test_what_the_forge_refuses_is_said_with_what_to_do(slipway: Slipway, hooks: httpx.AsyncClient, status: int, said: str) -> None:
    """In its words; the connection is there, and the next run goes on where this one stopped."""
    async with hook_server("github") as server:
        server.refusal = JSONResponse({"message": "its own words"}, status)
        refused = await slipway(*_words(server, hooks), given=TOKEN)
        assert refused.exit_code == 1
        assert f"GitHub answered {status}" in refused.stderr
        assert "its own words" in refused.stderr
        assert said in refused.stderr
        assert "todo-github is connected, without a hook" in refused.stderr
        assert TOKEN.strip() not in refused.output
        server.refusal = None
        assert answer(await slipway(*_words(server, hooks, "--json"), given=TOKEN))["delivery"]["event"] == "ping"


async def test_a_loopback_address_is_no_address_for_a_forge_elsewhere(slipway: Slipway, hooks: httpx.AsyncClient) -> None:
    """No hook is made that could never call; it says what to do."""
    refused = await slipway("connect", "github", "https://github.com/acme/todo", "-p", "main/todo", given="token\n")
    assert refused.exit_code == 1
    assert "127.0.0.1 is this machine itself, which github.com cannot call" in refused.stderr
    assert "--url https://slipway.example" in refused.stderr


async def test_a_forge_at_a_private_address_needs_leave(slipway: Slipway, hooks: httpx.AsyncClient) -> None:
    """The token goes nowhere inside the installation's network unless an admin named it."""
    words = ("connect", "gitea", "http://10.11.12.13/acme/todo", "-p", "main/todo", "--url", "http://10.0.0.1")
    refused = await slipway(*words, given="token\n")
    assert (refused.exit_code, "SLIPWAY_PRIVATE_FORGES" in refused.stderr) == (1, True)


async def test_a_test_that_does_not_arrive_is_said(slipway: Slipway, hooks: httpx.AsyncClient) -> None:
    """The hook stays; the next push may come through."""
    async with hook_server("github") as server:
        server.silent = True
        late = await slipway(*_words(server, hooks, "--wait", "0.5"), given=TOKEN)
        assert (late.exit_code, "no test has arrived" in late.stderr) == (1, True)
        assert len(server.hooks) == 1


@pytest.mark.parametrize("kind", ["gitlab", "gitea"])
async def test_what_cannot_be_tested_yet_is_not_waited_for(slipway: Slipway, hooks: httpx.AsyncClient, kind: str) -> None:
    """GitLab before 17, whose other tests would be deployed; Gitea's repository without a commit."""
    async with hook_server(kind) as server:
        server.older = True
        done = await slipway(*_words(server, hooks), given=TOKEN)
        assert (done.exit_code, "sends no test now" in done.stderr) == (0, True)


async def test_names_and_tokens_are_minded(slipway: Slipway, hooks: httpx.AsyncClient) -> None:
    """A connection to another repository is not taken over, and without a token nothing is made."""
    async with hook_server("gitea") as server:
        without = await slipway(*_words(server, hooks), given="\n")
        assert (without.exit_code, "Without a token" in without.stderr) == (1, True)
        answer(await slipway(*_words(server, hooks, "--json"), given=TOKEN))
        words = ("connect", "gitea", f"{server.url}/acme/other.git", "-p", "main/todo", "--name", "todo-gitea")
        other = await slipway(*words, given=TOKEN)
        assert (other.exit_code, "--name NAME" in other.stderr) == (1, True)


async def test_making_hooks_takes_the_right_to_change_the_connection(slipway: Slipway, api: RunningApi, hooks: httpx.AsyncClient) -> None:
    """A deployer may not; the audit log names who did."""
    async with hook_server("gitea") as server:
        answer(await slipway(*_words(server, hooks, "--json"), given=TOKEN))
        headers = {"Authorization": f"Bearer {await api.person('deployer', 'project/main/todo')}"}
        path = "/connections/main/todo-gitea/hook"
        assert (await api.client.post(path, headers=headers)).status_code == 403
        assert (await api.client.delete(path, headers=headers)).status_code == 403
        assert (await api.client.post("/connections/main/nothing/hook")).status_code == 404
        assert len(server.hooks) == 1
