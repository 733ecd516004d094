"""Statuses on forges, to servers that answer as each one's documentation says. (What is GitHub's own is in `test_github`.)"""

import pytest
from starlette.responses import JSONResponse, Response

from shared.contracts.answers import Failure
from shared.contracts.events import (
    DeploymentQueued,
    DeploymentRolledBack,
    DeploymentStarted,
    DeploymentStuck,
    DeploymentSucceeded,
    DeploymentSuperseded,
)
from shared.contracts.facts import DeploymentAuthorized, Fact
from shared.proto import catalogue_pb2 as pb
from tests.integration.notifier.conftest import COMMIT, World
from tests.integration.notifier.forge_servers import SERVERS, ForgeServer, forge_server
from tests.integration.notifier.receivers import Call
from tests.polling import eventually

STATES = {
    "gitlab": ["pending", "running", "success"],
    "bitbucket": ["INPROGRESS", "INPROGRESS", "INPROGRESS", "INPROGRESS", "SUCCESSFUL"],
    "bitbucket-data-center": ["INPROGRESS", "INPROGRESS", "INPROGRESS", "INPROGRESS", "SUCCESSFUL"],
    "gitea": ["pending", "pending", "pending", "pending", "success"],
}
"""What the commit shows of: created, authorised, queued, started, succeeded."""


def _channel(kind: str, server: ForgeServer, token: str = "", version: int = 1) -> pb.Channel:
    return pb.Channel(
        organization="main",
        name="forge",
        kind="forge",
        forge=kind,
        api_url=server.url,
        repository="github.com/acme/todo",
        secret=token or server.token,
        version=version,
    )


async def _all_told(world: World, count: int) -> None:
    async def so() -> bool:
        states = await world.states()
        return len(states) == count and "pending" not in states

    await eventually(so, within=15)


async def _tell(world: World, server: ForgeServer, deployment: str, *facts: tuple[int, Fact]) -> None:
    """One after the other: each is there before the next happens."""
    for sequence, fact in facts:
        before, told = len(server.calls), len(await world.states())
        await world.happens(fact, deployment=deployment, sequence=sequence)
        await _all_told(world, told + 1)
        assert len(server.calls) > before


@pytest.mark.parametrize("kind", SERVERS)
async def test_a_deployment_is_shown_from_its_beginning_to_its_end(world: World, kind: str) -> None:
    """The commit has one status for the environment, with a link, in the forge's own words."""
    async with forge_server(kind, COMMIT) as server, world.start(public_url="https://slipway.example"):
        await world.channels(_channel(kind, server))
        deployment = await world.deployment()
        await world.becomes("delivered")
        facts = (
            (3, DeploymentAuthorized(rule="r")),
            (9, DeploymentQueued()),
            (10, DeploymentStarted(epoch=1)),
            (30, DeploymentSucceeded(urls=("https://todo.example",))),
        )
        await _tell(world, server, deployment, *facts)
        # What GitLab shows already, or cannot go back to, is nothing to tell.
        await world.becomes(*["delivered"] * 3, *["skipped" if kind == "gitlab" else "delivered"] * 2)
    assert [each["state"] for each in server.statuses] == STATES[kind]
    last = server.statuses[-1]
    assert {last.get("name"), last.get("context")} >= {"slipway/todo/production"}
    assert last.get("url", last.get("target_url")) == f"https://slipway.example/deployments/{deployment}"
    assert last["description"] == "Live"


async def test_gitlab_has_a_deployment_from_when_it_runs(notifier: World) -> None:
    """One, whatever is told again; GitLab's word for a state that is there already is no failure."""
    async with forge_server("gitlab", COMMIT) as server:
        await notifier.channels(_channel("gitlab", server))
        deployment = await notifier.deployment()
        await notifier.becomes("delivered")
        assert server.deployments == []
        await _tell(notifier, server, deployment, (3, DeploymentAuthorized(rule="r")), (10, DeploymentStarted(epoch=1)))
        await _tell(notifier, server, deployment, (30, DeploymentRolledBack(reason="unhealthy")))
    (made,) = server.deployments
    assert (made["environment"], made["ref"], made["tag"], made["states"]) == ("todo/production", "main", False, ["running", "failed"])
    assert server.statuses[-1]["description"] == "Rolled back: unhealthy"


async def test_a_deployment_that_gitlab_made_before_a_crash_is_found_again(notifier: World) -> None:
    """Where it was made, or its end set, and the answer was lost: no second one, and no second end."""
    lost: list[str] = []

    async with forge_server("gitlab", COMMIT) as server:

        def refuse(call: Call) -> Response | None:
            if call.method in ("POST", "PUT") and "/deployments" in call.path and call.method not in lost:
                lost.append(call.method)
                if call.method == "POST":
                    server.deployments.append({"id": 1, **call.json, "states": ["running"]})
                else:
                    server.deployments[0]["status"] = call.json["status"]
                return Response(status_code=502)
            return None

        server.refuse = refuse
        await notifier.channels(_channel("gitlab", server))
        deployment = await notifier.deployment()
        await notifier.happens(DeploymentStarted(epoch=1), deployment=deployment, sequence=10)
        await _all_told(notifier, 2)
        await notifier.happens(DeploymentSucceeded(urls=()), deployment=deployment, sequence=30)
        await _all_told(notifier, 3)
    assert lost == ["POST", "PUT"]
    assert [each["status"] for each in server.deployments] == ["success"]
    assert await notifier.database.fetchval("SELECT forge_id FROM forge_deployments") == "1"


async def test_data_center_has_a_deployment_that_says_that_it_was_rolled_back(notifier: World) -> None:
    """Always the same one: its key and number do not change."""
    async with forge_server("bitbucket-data-center", COMMIT) as server:
        await notifier.channels(_channel("bitbucket-data-center", server))
        deployment = await notifier.deployment()
        await notifier.becomes("delivered")
        await _tell(notifier, server, deployment, (10, DeploymentStarted(epoch=1)), (30, DeploymentRolledBack(reason="unhealthy")))
    assert [each["state"] for each in server.deployments] == ["PENDING", "IN_PROGRESS", "ROLLED_BACK"]
    assert len({(each["key"], str(each["deploymentSequenceNumber"])) for each in server.deployments}) == 1
    assert server.deployments[-1]["environment"] == {"key": "todo/production", "displayName": "todo/production", "type": "PRODUCTION"}


@pytest.mark.parametrize(
    ("kind", "superseded", "stuck"),
    [
        ("gitlab", "canceled", "failed"),
        ("bitbucket", "STOPPED", "FAILED"),
        ("bitbucket-data-center", "CANCELLED", "FAILED"),
        ("gitea", "error", "error"),
    ],
)
async def test_what_was_superseded_and_what_is_stuck(notifier: World, kind: str, superseded: str, stuck: str) -> None:
    """In the word that comes nearest; a deployment that never ran leaves none at GitLab."""
    other = "b" * 40
    async with forge_server(kind, COMMIT, other) as server:
        await notifier.channels(_channel(kind, server))
        first, second = await notifier.deployment(), await notifier.deployment(other)
        await notifier.becomes("delivered", "delivered")
        await _tell(notifier, server, first, (2, DeploymentSuperseded()))
        await _tell(notifier, server, second, (40, DeploymentStuck(step="s", failure=Failure(code="x", message="no way back"))))
    ends = {str(each["sha"]): (each["state"], each["description"]) for each in server.statuses}
    assert ends[COMMIT] == (superseded, "Superseded by a newer deployment")
    assert ends[other] == (stuck, "Stuck: an undo keeps failing: no way back")
    if kind == "gitlab":
        assert server.deployments == []


@pytest.mark.parametrize("kind", SERVERS)
async def test_states_are_never_sent_back_in_time(world: World, kind: str) -> None:
    """While the forge is down events pile up: then the newest is told, and what comes late is not."""
    down = [True]
    async with forge_server(kind, COMMIT) as server, world.start(retry_first_s=0.3):
        server.refuse = lambda _: JSONResponse({"message": "Server Error"}, 502) if down else None
        await world.channels(_channel(kind, server))
        deployment = await world.deployment()
        await world.happens(DeploymentSucceeded(urls=()), deployment=deployment, sequence=40)
        await world.happens(DeploymentStarted(epoch=1), deployment=deployment, sequence=10)

        async def waiting() -> bool:
            return bool(server.calls) and len(await world.states()) == 3

        await eventually(waiting)
        down.clear()
        await world.becomes("delivered", "skipped", "skipped")
        await world.happens(DeploymentQueued(), deployment=deployment, sequence=5)
        await world.becomes("delivered", "skipped", "skipped", "skipped")
    assert [each["description"] for each in server.statuses] == ["Live"]


async def test_an_older_deployment_of_a_commit_does_not_speak_for_it(world: World) -> None:
    """Deployed again while the forge was down: the commit shows the newer one, whatever the older one has to say."""
    down = [True]
    async with forge_server("gitea", COMMIT) as server, world.start(retry_first_s=0.2):
        server.refuse = lambda _: JSONResponse({"message": "Server Error"}, 502) if down else None
        await world.channels(_channel("gitea", server))
        older = await world.deployment()
        newer = await world.deployment()
        await world.happens(DeploymentSucceeded(urls=()), deployment=newer, sequence=30)
        await world.happens(DeploymentSuperseded(), deployment=older, sequence=2)

        async def waiting() -> bool:
            return bool(server.calls) and len(await world.states()) == 4

        await eventually(waiting)
        down.clear()
        await world.becomes("delivered", "skipped", "skipped", "skipped")
    assert [each["description"] for each in server.statuses] == ["Live"]


@pytest.mark.parametrize("kind", SERVERS)
async def test_a_token_that_is_not_taken_is_said_once_and_a_new_one_tried_at_once(world: World, kind: str) -> None:
    """However many deployments wait: one attempt, one event; the token is in neither."""
    other = "b" * 40
    async with forge_server(kind, COMMIT, other) as server, world.start():
        await world.channels(_channel(kind, server, token="expired-token"))
        first = await world.deployment()

        async def said() -> bool:
            return bool(await world.database.fetchval("SELECT count(*) FROM attempts"))

        await eventually(said)
        await world.happens(DeploymentStarted(epoch=1), deployment=first, sequence=10)
        await world.deployment(other)
        await world.happens(DeploymentStarted(epoch=1), deployment=first, sequence=11)

        async def waiting() -> bool:
            return len(await world.states()) == 4

        await eventually(waiting)
        assert set(await world.states()) == {"pending"}
        (error,) = [row["error"] for row in await world.database.fetch("SELECT error FROM attempts")]
        assert "401" in error
        assert "does not take the token" in error
        assert "expired-token" not in error
        assert len(server.calls) == 1
        await world.channels(_channel(kind, server, version=2))
        await world.becomes("delivered", "delivered", "skipped", "skipped")


async def test_gitlabs_rate_limit_holds_the_channel(notifier: World) -> None:
    """As long as it says."""
    limited = [True]

    def refuse(_: Call) -> Response | None:
        return Response("Retry later", 429, {"Retry-After": "1"}) if limited and limited.pop() else None

    async with forge_server("gitlab", COMMIT) as server:
        server.refuse = refuse
        await notifier.channels(_channel("gitlab", server))
        await notifier.deployment()
        await notifier.becomes("delivered")
    seconds = await notifier.database.fetchval("SELECT extract(epoch FROM max(at) - min(at)) FROM attempts")
    assert seconds >= 0.9


async def test_bitbucket_gets_an_address_in_any_case(notifier: World) -> None:
    """It takes no status without a link."""
    async with forge_server("bitbucket", COMMIT) as server:
        await notifier.channels(_channel("bitbucket", server))
        await notifier.deployment()
        await notifier.becomes("delivered")
    assert (server.statuses[0]["key"], server.statuses[0]["url"]) == ("slipway/todo/production", "https://github.com/acme/todo")


async def test_a_forge_that_nobody_knows_is_said_so(notifier: World) -> None:
    """The channel is of a kind that this version has no file for."""
    async with forge_server("gitea", COMMIT) as server:
        await notifier.channels(_channel("sourcehut", server))
        await notifier.deployment()
        await notifier.becomes("dead")
    assert "no forge of the kind 'sourcehut'" in await notifier.database.fetchval("SELECT error FROM attempts")
