"""Commit statuses and deployments, to a server that answers as GitHub documents it."""

from starlette.responses import JSONResponse, Response

from shared.contracts.events import (
    CompensationStarted,
    DeploymentQueued,
    DeploymentRolledBack,
    DeploymentStarted,
    DeploymentSucceeded,
    DeploymentSuperseded,
)
from shared.contracts.facts import DeploymentAuthorized
from shared.proto import catalogue_pb2 as pb
from tests.integration.notifier.conftest import COMMIT, World
from tests.integration.notifier.receivers import Call, GitHub, deployment_of, github
from tests.polling import eventually


def _channel(server: GitHub, repository: str = "github.com/acme/todo") -> pb.Channel:
    return pb.Channel(
        organization="main",
        name="github",
        kind="forge",
        forge="github",
        api_url=server.url,
        repository=repository,
        secret=server.token,
        version=1,
    )


async def _shows(server: GitHub, *states: str) -> None:
    async def so() -> bool:
        assert [state for _, state in server.states] == list(states)
        return True

    await eventually(so, within=15)


async def test_a_channel_without_a_token_uses_those_of_its_connection_s_app(world: World) -> None:
    """Asked for when there is something to tell, sent where the connection's API is; where none is made, it is said and tried later."""
    async with github() as server, world.start():
        server.commits.add(COMMIT)
        channel = _channel(server)
        channel.secret = channel.api_url = ""
        await world.channels(channel)
        await world.deployment()

        async def said() -> bool:
            return "the app is not installed" in [row["error"] for row in await world.database.fetch("SELECT error FROM attempts")]

        assert await eventually(said)
        assert server.states == []
        world.catalogue.app = pb.TokenReply(token=server.token, api_url=server.url)
        channel.version = 2
        await world.channels(channel)
        await _shows(server, "queued")
    asked = world.catalogue.asked[-1]
    assert (asked.organization, asked.forge, asked.repository, asked.use) == ("main", "github", "github.com/acme/todo", pb.STATUSES)


async def test_a_deployment_is_shown_from_its_beginning_to_its_end(world: World) -> None:
    """One deployment there, its states in order, and the commit's status with a context of its own."""
    async with github() as server, world.start(public_url="https://slipway.example"):
        server.commits.add(COMMIT)
        await world.channels(_channel(server))
        deployment = await world.deployment()
        await _shows(server, "queued")
        await world.happens(DeploymentAuthorized(rule="r"), deployment=deployment, sequence=3)
        await _shows(server, "queued", "in_progress")
        await world.happens(DeploymentSucceeded(urls=("https://todo.example",)), deployment=deployment, sequence=30)
        await _shows(server, "queued", "in_progress", "success")
    made = server.deployments
    assert len(made) == 1
    assert (made[0]["environment"], made[0]["production_environment"]) == ("todo/production", True)
    assert [(each["state"], each["context"]) for each in server.statuses] == [
        ("pending", "slipway/todo/production"),
        ("pending", "slipway/todo/production"),
        ("success", "slipway/todo/production"),
    ]
    assert server.statuses[0]["target_url"] == f"https://slipway.example/deployments/{deployment}"
    assert server.deployment_statuses[-1]["environment_url"] == "https://todo.example"


async def test_a_forge_at_a_private_address_needs_leave_of_its_own(world: World) -> None:
    """Leave for channels' webhooks is none for forges, which get a token; the reason says how to allow it."""
    async with github() as server, world.start(private_forges=("10.0.0.0/8",)):
        await world.channels(_channel(server))
        await world.deployment()
        await world.becomes("dead")
        assert server.calls == []
    assert "SLIPWAY_PRIVATE_FORGES" in await world.database.fetchval("SELECT error FROM attempts")


async def test_states_are_never_sent_back_in_time(world: World) -> None:
    """While GitHub is down events pile up, out of order: then only the newest is told, and late ones are not."""
    down = True

    def refuse(_: Call) -> Response | None:
        return JSONResponse({"message": "Server Error"}, 502) if down else None

    async with github() as server, world.start(retry_first_s=0.3):
        server.commits.add(COMMIT)
        server.refuse = refuse
        await world.channels(_channel(server))
        deployment = await world.deployment()
        await world.happens(DeploymentRolledBack(reason="unhealthy"), deployment=deployment, sequence=40)
        await world.happens(DeploymentStarted(epoch=1), deployment=deployment, sequence=10)
        await world.happens(CompensationStarted(epoch=2, reason="unhealthy"), deployment=deployment, sequence=20)

        async def tried() -> bool:
            return bool(server.calls)

        await eventually(tried)
        down = False
        await _shows(server, "failure")
        await world.happens(DeploymentQueued(), deployment=deployment, sequence=5)
        await world.becomes("skipped", "delivered", "skipped", "skipped", "skipped")
    assert [state for _, state in server.states] == ["failure"]
    assert server.statuses[-1]["description"] == "Rolled back: unhealthy"


async def test_a_deployment_made_before_a_crash_is_found_again(notifier: World) -> None:
    """Where it was made and not remembered, no second one is made."""
    lost = False

    def refuse(call: Call) -> Response | None:
        nonlocal lost
        if call.method == "POST" and call.path.endswith("/deployments") and not lost:
            lost = True
            made = deployment_of(call.json, 77)
            server.deployments.append({**made, "payload": {"slipway": "another"}, "id": 76})
            server.deployments.append(made)
            return Response(status_code=502)
        return None

    async with github() as server:
        server.commits.add(COMMIT)
        server.refuse = refuse
        await notifier.channels(_channel(server))
        await notifier.deployment()
        await _shows(server, "queued")
    assert server.states == [("77", "queued")]
    assert len(server.deployments) == 2


async def test_a_secondary_rate_limit_holds_the_whole_channel(notifier: World) -> None:
    """As long as GitHub asks for, nothing of the channel is sent; then all is."""
    limited = [True]

    def refuse(_: Call) -> Response | None:
        if limited:
            limited.clear()
            return JSONResponse({"message": "You have exceeded a secondary rate limit."}, 403, {"Retry-After": "2"})
        return None

    async with github() as server:
        server.commits |= {COMMIT, "b" * 40}
        server.refuse = refuse
        await notifier.channels(_channel(server))
        await notifier.deployment()

        async def held() -> bool:
            return bool(await notifier.database.fetchval("SELECT hold_until > now() FROM channels"))

        await eventually(held)
        await notifier.deployment("b" * 40)
        assert len(server.calls) == 1
        assert not await notifier.database.fetchval("SELECT bool_or(state <> 'pending') FROM notifications")
        await notifier.becomes("delivered", "delivered")
    seconds = await notifier.database.fetchval("SELECT extract(epoch FROM max(at) - min(at)) FROM attempts")
    assert seconds >= 1.9


async def test_what_github_does_not_know_is_given_up_with_its_words(notifier: World) -> None:
    """A commit that was never pushed there: no endless tries."""
    async with github() as server:
        await notifier.channels(_channel(server))
        await notifier.deployment()
        await notifier.becomes("dead")
    error = await notifier.database.fetchval("SELECT error FROM attempts")
    assert "No commit found for SHA" in error


async def test_another_repositorys_deployments_are_not_shown(notifier: World) -> None:
    """A channel shows what was deployed from its own repository."""
    async with github() as server:
        server.commits.add(COMMIT)
        await notifier.channels(_channel(server, repository="github.com/acme/other"))
        deployment = await notifier.deployment()
        await notifier.happens(DeploymentSuperseded(), deployment=deployment, sequence=2)
        await notifier.becomes("skipped", "skipped")
    assert server.calls == []
