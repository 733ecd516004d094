"""A GitHub App in the place of a token: tokens for one use and one repository, made when they are needed, kept while they are good."""

import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import grpc
import pytest
from grpc import aio
from starlette.responses import JSONResponse

from services.api.forges import github_app
from shared.proto import catalogue_pb2 as pb
from shared.proto.catalogue_pb2_grpc import CatalogueStub
from shared.rpc import channel
from shared.sealing import unseal
from tests.component.api.github_apps import APP, INSTALLATION, REPOSITORY, GitHubApps, github_apps, pem
from tests.component.api.running import RunningApi

if TYPE_CHECKING:
    from shared.proto.catalogue_pb2_grpc import CatalogueAsyncStub


@pytest.fixture
async def github() -> AsyncIterator[GitHubApps]:
    """The app is installed on acme/todo."""
    async with github_apps() as server:
        yield server


@pytest.fixture
async def catalogue(api: RunningApi, github: GitHubApps) -> "AsyncIterator[CatalogueAsyncStub]":
    """A stub; the connection `hub` has the app."""
    await api.with_todo()
    await api.made("/connections/main", **_hub(github))
    async with channel(f"127.0.0.1:{api.opened.grpc_port}", api.home.tls, "coordinator") as opened:
        yield CatalogueStub(opened)


def _hub(github: GitHubApps, **app: str) -> dict[str, object]:
    clone_url = f"{github.url}/{REPOSITORY}.git"
    said = {"id": APP, "private_key": pem()} | app
    return {"name": "hub", "project": "todo", "forge": "github", "clone_url": clone_url, "app": said}


SOURCE = pb.SourceRequest(organization="main", project="todo", connection="hub", target="local", made=True)


def _token(use: "pb.Use.ValueType") -> pb.TokenRequest:
    return pb.TokenRequest(organization="main", connection="hub", use=use)


async def test_a_token_to_clone_is_made_when_it_is_sent(api: RunningApi, catalogue: "CatalogueAsyncStub", github: GitHubApps) -> None:
    """Sealed to the target, for the one repository, to read it; before that it is only said that there will be one."""
    before = await catalogue.SourceOf(pb.SourceRequest(organization="main", project="todo", connection="hub", target="local"))
    assert (before.sealed_password, github.asked) == ("", [])
    assert 0 < before.valid_until <= time.time()
    source = await catalogue.SourceOf(SOURCE)
    token = unseal((api.home.keys / "target.key").read_bytes(), source.sealed_password).decode()
    assert (source.username, github.tokens[token][0]) == ("x-access-token", {"contents": "read"})
    assert source.valid_until == int(github.tokens[token][1])
    assert github.asked == [f"GET /repos/{REPOSITORY}/installation", f"POST /app/installations/{INSTALLATION}/access_tokens"]


async def test_each_use_has_a_token_of_its_own_and_it_is_kept(catalogue: "CatalogueAsyncStub", github: GitHubApps) -> None:
    """With the rights that the use takes; one is made again as soon as it would not outlast what it is for."""
    for _ in range(2):
        told = {use: (await catalogue.TokenOf(_token(use))).token for use in (pb.CLONE, pb.REQUESTS, pb.STATUSES, pb.COMMENTS)}
    assert len(github.tokens) == 4
    assert [github.tokens[token][0] for token in told.values()] == [
        {"contents": "read"},
        {"pull_requests": "read"},
        {"statuses": "write", "deployments": "write"},
        {"pull_requests": "write"},
    ]
    await catalogue.SourceOf(SOURCE)
    assert len(github.tokens) == 4
    github.tokens.clear()
    github.lives_s = 30 * 60
    by_repository = pb.TokenRequest(organization="main", forge="github", repository=f"127.0.0.1/{REPOSITORY}", use=pb.STATUSES)
    assert (await catalogue.TokenOf(by_repository)).token == told[pb.STATUSES]
    await catalogue.SourceOf(SOURCE)
    assert len(github.tokens) == 0


async def test_one_that_would_end_in_the_queue_is_made_again(catalogue: "CatalogueAsyncStub", github: GitHubApps) -> None:
    """A builder may take a command half an hour after it was sent: only a token that lives longer is sent again."""
    github.lives_s = 30 * 60
    await catalogue.SourceOf(SOURCE)
    await catalogue.TokenOf(_token(pb.CLONE))
    assert len(github.tokens) == 1
    await catalogue.SourceOf(SOURCE)
    assert len(github.tokens) == 2


async def test_what_a_server_says_is_kept_within_bounds(
    catalogue: "CatalogueAsyncStub", github: GitHubApps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be a tenant's own: a token is not believed to be good for more than an hour, and of many the oldest are forgotten."""
    github.lives_s = 365 * 86400
    source = await catalogue.SourceOf(SOURCE)
    assert source.valid_until <= time.time() + github_app.LONGEST_S
    monkeypatch.setattr(github_app, "MOST", 1)
    first = (await catalogue.TokenOf(_token(pb.STATUSES))).token
    assert (await catalogue.TokenOf(_token(pb.STATUSES))).token == first
    await catalogue.TokenOf(_token(pb.COMMENTS))
    assert (await catalogue.TokenOf(_token(pb.STATUSES))).token != first
    github.refusal = JSONResponse({"token": "t" * 4001, "expires_at": "9999-12-30T00:00:00Z"}, 201)
    with pytest.raises(aio.AioRpcError, match="does not speak its API"):
        await catalogue.TokenOf(_token(pb.REQUESTS))


async def test_an_app_that_is_installed_anew_gets_new_tokens(
    api: RunningApi, catalogue: "CatalogueAsyncStub", github: GitHubApps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the former installation have ended with it; while GitHub is away, the present ones are good."""
    monkeypatch.setattr(github_app, "INSTALLED_S", 0.0)
    await catalogue.SourceOf(SOURCE)
    github.tokens.clear()
    github.installation += 1
    source = await catalogue.SourceOf(SOURCE)
    token = unseal((api.home.keys / "target.key").read_bytes(), source.sealed_password).decode()
    assert github.allows(token, "contents", "read")
    github.refusal = JSONResponse({"message": "oops"}, 502)
    assert (await catalogue.TokenOf(_token(pb.CLONE))).token == token


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"private_key": pem("other")}, "Is the private key one of the app 4711"),
        ({"id": "1"}, "Is the private key one of the app 1,"),
        ({"installation": "5"}, "GitHub knows no installation 5 of the app 4711"),
    ],
)
async def test_what_is_wrong_with_an_app_is_said(
    api: RunningApi, catalogue: "CatalogueAsyncStub", github: GitHubApps, change: dict[str, str], said: str
) -> None:
    """With what to do; and no token that was made with a good key is given out after that."""
    await catalogue.SourceOf(SOURCE)
    changed = await api.client.patch("/connections/main/hub", json={"app": {"id": APP, "private_key": pem()} | change})
    assert changed.status_code == 200, changed.text
    with pytest.raises(aio.AioRpcError, match=said) as refused:
        await catalogue.SourceOf(SOURCE)
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "PRIVATE KEY" not in (changed.text + str(refused.value))


async def test_an_app_without_installation_or_right_is_said(api: RunningApi, catalogue: "CatalogueAsyncStub", github: GitHubApps) -> None:
    """The one by its name, the other by the repository's; a hook's problem comes over HTTP."""
    github.rights = {"contents": "read"}
    with pytest.raises(aio.AioRpcError, match=r"needs the right statuses: write, deployments: write"):
        await catalogue.TokenOf(_token(pb.STATUSES))
    hook = await api.client.post("/connections/main/hub/hook", json={"public_url": "http://127.0.0.1:1"})
    assert (hook.status_code, "repository_hooks: write" in hook.json()["detail"]) == (422, True)
    github.installed = False
    await api.client.patch("/connections/main/hub", json={"app": {"id": APP, "private_key": pem() + "\n"}})
    with pytest.raises(aio.AioRpcError, match=r"The app 4711 is not installed on 127.0.0.1/acme/todo: install it there"):
        await catalogue.SourceOf(SOURCE)


async def test_a_pause_that_github_wants_is_kept(catalogue: "CatalogueAsyncStub", github: GitHubApps) -> None:
    """It is not asked meanwhile, for no use; while it is away, everybody may try."""
    github.refusal = JSONResponse({"message": "oops"}, 502)
    for _ in range(2):
        with pytest.raises(aio.AioRpcError) as away:
            await catalogue.SourceOf(SOURCE)
        assert away.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(github.asked) == 2
    github.refusal = JSONResponse({"message": "secondary rate limit"}, 403, {"Retry-After": "3600"})
    for use in (pb.CLONE, pb.STATUSES):
        with pytest.raises(aio.AioRpcError, match="secondary rate limit") as limited:
            await catalogue.TokenOf(_token(use))
        assert limited.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(github.asked) == 3


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"app": {"id": APP, "private_key": "nonsense"}}, "give the .pem that GitHub made"),
        ({"app": {"id": APP, "private_key": pem()}, "token": "t"}, "give one of them"),
        ({"app": {"id": APP, "private_key": pem()}, "forge": "gitlab"}, "of no use at gitlab"),
    ],
)
async def test_no_nonsense_becomes_an_app(api: RunningApi, wrong: dict[str, object], said: str) -> None:
    """It is refused when it is given, not when somebody deploys."""
    await api.with_todo()
    body = {"name": "hub", "project": "todo", "forge": "github", "clone_url": "https://github.com/acme/todo.git"} | wrong
    refused = await api.client.post("/connections/main", json=body)
    assert (refused.status_code, said in refused.text) == (422, True), refused.text


async def test_an_app_is_shown_without_its_key_and_signs_for_no_other_host(api: RunningApi, github: GitHubApps) -> None:
    """A token takes its place, and it a token's."""
    await api.with_todo()
    made = await api.made("/connections/main", **_hub(github, installation=str(INSTALLATION)))
    assert "PRIVATE" not in made.text
    assert made.json()["app"] == {"id": APP, "installation": str(INSTALLATION)}
    moved = await api.client.patch("/connections/main/hub", json={"api_url": "https://evil.example"})
    assert (moved.status_code, moved.json()["type"].rpartition("/")[2]) == (422, "token-needed")
    with_token = (await api.client.patch("/connections/main/hub", json={"token": "t"})).json()
    assert (with_token["has_token"], with_token["app"]) == (True, None)
    nothing = (await api.client.patch("/connections/main/hub", json={"app": None})).json()
    assert (nothing["has_token"], nothing["app"]) == (False, None)
