"""The one comment of a change request, on servers that speak each forge's API."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.responses import JSONResponse, Response

from shared.contracts import events as e
from shared.contracts.facts import Fact
from shared.contracts.places import ChangeRequest, EnvironmentKind
from shared.contracts.releases import ReleaseKind
from shared.messages import new_id
from shared.proto import catalogue_pb2 as pb
from tests.integration.notifier.conftest import COMMIT, World
from tests.integration.notifier.forge_servers import SERVERS, ForgeServer, forge_server
from tests.integration.notifier.receivers import Call, GitHub, github
from tests.polling import eventually

KINDS = ("github", *SERVERS)
OTHER = "b" * 40
URL = "https://web.pr-7.todo.main.localhost:8443"
Server = ForgeServer | GitHub


@asynccontextmanager
async def server_of(kind: str) -> AsyncIterator[Server]:
    """A forge with two commits, and a change request that many people have commented on."""
    async with github() if kind == "github" else forge_server(kind) as server:
        server.commits |= {COMMIT, OTHER}
        server.comments.others(60)
        yield server


def _channel(kind: str, server: Server, name: str = "forge", version: int = 1) -> pb.Channel:
    return pb.Channel(
        organization="main", name=name, kind="forge", forge=kind, api_url=server.url, repository="github.com/acme/todo",
        secret=server.token, version=version,
    )  # fmt: skip


async def _deployment(world: World, *facts: tuple[int, Fact], environment: object = "pr-7", **more: object) -> str:
    """Of a preview: its first event, then these."""
    deployment = new_id()
    said: dict[str, object] = {
        "kind": ReleaseKind.DEPLOY,
        "environment_kind": EnvironmentKind.PREVIEW,
        "target": "local",
        "repository": "github.com/acme/todo",
        "ref": "refs/heads/mend",
        "commit": COMMIT,
        "title": "Mend the list",
        "change_request": ChangeRequest(repository="github.com/acme/todo", number="7"),
    }
    created = e.DeploymentCreated.model_validate(said | more)
    for sequence, fact in ((1, created), *facts):
        await world.happens(fact, deployment=deployment, sequence=sequence, environment=str(environment))
    return deployment


async def _says(server: Server, *parts: str) -> str:
    async def so() -> str:
        ours = server.comments.ours
        assert len(ours) == 1
        assert [part for part in parts if part not in ours[0]] == []
        return ours[0]

    return await eventually(so, within=15)


async def _settled(world: World) -> None:
    async def so() -> bool:
        return "pending" not in await world.states()

    await eventually(so, within=15)


def _planned(*released: str) -> e.DeploymentPlanned:
    steps = [e.StepPlanned(step=f"switch-{name}", title="switch traffic", stage=e.Stage.DEPLOY) for name in released]
    return e.DeploymentPlanned(steps=tuple(steps))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_change_request_has_one_comment_from_its_first_deployment_to_its_end(world: World, kind: str) -> None:
    """Changed in place: addresses, what was built, what still runs where a deployment failed, and that it is gone."""
    async with server_of(kind) as server, world.start(public_url="https://slipway.example"):
        await world.channels(_channel(kind, server))
        first = await _deployment(
            world,
            (4, e.BuildPlanned(built=("web",), unchanged=("worker", "docs"))),
            (9, _planned("web", "worker")),
            (30, e.DeploymentSucceeded(urls=(URL,), releases={"web": "r1", "worker": "r2", "docs": "r0"})),
        )
        text = await _says(
            server, "**Live**", f"<{URL}>", "Built: `web`. Restarted: `worker`. Kept: `docs`", "`c0ffee0000`: `Mend the list`"
        )
        assert f"(https://slipway.example/deployments/{first})" in text
        await _deployment(
            world, (20, e.DeploymentRolledBack(reason="web is not healthy")), commit=OTHER, title="@all [x](http://x.example)"
        )
        text = await _says(server, "**Rolled back**", "`web is not healthy`", f"Runs commit `c0ffee0000` at <{URL}>")
        assert "`@\u200ball [x](http://x.example)`" in text
        await _settled(world)
        gone = {"kind": ReleaseKind.REMOVE, "repository": None, "ref": None, "commit": None, "title": "change request 7 was merged"}
        await _deployment(world, (9, e.DeploymentSucceeded()), **gone)
        text = await _says(server, "**Gone**", "`change request 7 was merged`")
        assert URL not in text
        await _settled(world)
        assert await world.database.fetchval("SELECT count(*) FROM attempts WHERE NOT delivered") == 0
    assert len(server.comments.ours) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_our_comment_is_found_again_whatever_was_lost(notifier: World, kind: str) -> None:
    """Made and never heard of; its id lost; a copy by somebody else beside it; taken away by somebody."""
    async with server_of(kind) as server:
        lost = False

        def refuse(call: Call) -> Response | None:
            nonlocal lost
            if lost or call.method != "POST" or not call.path.endswith(("comments", "notes")):
                return None
            lost = True
            server.comments.make(None, call)
            return Response(status_code=502)

        server.refuse = refuse
        await notifier.channels(_channel(kind, server))
        deployment = await _deployment(notifier)
        await _says(server, "Waiting to be authorised")
        await _settled(notifier)
        assert lost
        server.comments.texts[99] = server.comments.ours[0]
        server.comments.foreign.add(99)
        await notifier.database.execute("UPDATE comments SET forge_id = NULL")
        await notifier.happens(e.DeploymentStarted(epoch=1), deployment=deployment, sequence=10, environment="pr-7")
        await _says(server, "**Deploying**")
        await _settled(notifier)
        assert "authorised" in server.comments.texts[99]
        del server.comments.texts[61]
        await notifier.happens(e.DeploymentSucceeded(urls=(URL,)), deployment=deployment, sequence=30, environment="pr-7")
        await _says(server, "**Live**")
        await _settled(notifier)
    assert len(server.comments.ours) == 1


async def test_a_comment_waits_for_its_forge_and_never_goes_back_in_time(world: World) -> None:
    """Of all that happened meanwhile, in whatever order it came, one text: of every preview, whichever channel heard of it."""
    down = [True]
    async with server_of("gitea") as server, world.start(retry_first_s=0.3):
        server.refuse = lambda _: JSONResponse({"message": "Server Error"}, 502) if down else None
        await world.channels(_channel("gitea", server), _channel("gitea", server, "second"))
        await _deployment(world, (30, e.DeploymentSucceeded(urls=(URL,))), (10, e.DeploymentStarted(epoch=1)))
        await _deployment(world, (2, e.DeploymentSuperseded(reason="a newer one")), title="never told")
        await _deployment(world, (2, e.DeploymentFailed(reason="no Dockerfile")), environment="slow-7")

        def asked() -> int:
            return sum("/comments" in call.path for call in server.calls)

        async def waiting() -> bool:
            return asked() > 0 and await world.database.fetchval("SELECT count(*) FROM milestones") == 7

        await eventually(waiting)
        since = asked()

        async def written_anew() -> bool:
            """One at a time: the first of two may be of a text from before."""
            return asked() >= since + 2

        await eventually(written_anew)
        down.clear()
        text = await _says(server, "`todo/pr-7`: **Live**", "`todo/slow-7`: **Failed, nothing was touched**", "`no Dockerfile`")
        await _settled(world)
        assert "never told" not in text
    assert server.comments.changes == [text]


async def test_where_the_token_may_not_comment_statuses_go_on(world: World) -> None:
    """Said once; with another token what waits is told at once."""
    async with server_of("gitlab") as server, world.start():
        server.refuse = lambda call: JSONResponse({"message": "403 Forbidden"}, 403) if "/notes" in call.path else None
        await world.channels(_channel("gitlab", server))
        deployment = await _deployment(world)

        async def said() -> bool:
            return bool(await world.database.fetchval("SELECT count(*) FROM attempts WHERE status = 403"))

        await eventually(said)
        await world.happens(e.DeploymentStarted(epoch=1), deployment=deployment, sequence=10, environment="pr-7")

        async def shown() -> bool:
            return [each["state"] for each in server.statuses] == ["pending", "running"]

        await eventually(shown)
        refused = [each for each in await world.attempted() if not each.delivered]
        assert [(each.kind, each.status) for each in refused] == [("comment", 403)]
        assert "docs/forges.md" in refused[0].error
        server.refuse = lambda _: None
        await world.channels(_channel("gitlab", server, version=2))
        await _says(server, "**Deploying**")
