"""Previews in the catalogue: asked for as the coordinator asks, shown as people see them."""

from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING

import pytest
from grpc import StatusCode
from grpc.aio import AioRpcError

from services.api.previews import expire_now
from shared.contracts.events import DeploymentSucceeded
from shared.contracts.releases import ReleaseKind
from shared.contracts.requests import ExpireRequested
from shared.proto import catalogue_pb2 as pb
from shared.proto.catalogue_pb2_grpc import CatalogueStub
from shared.rpc import channel
from tests.component.api.running import RunningApi, fetched, published
from tests.component.api.story import Story
from tests.component.api.test_archive import ended
from tests.polling import eventually

if TYPE_CHECKING:
    from shared.proto.catalogue_pb2_grpc import CatalogueAsyncStub


@pytest.fixture
async def catalogue(api: RunningApi) -> "AsyncIterator[CatalogueAsyncStub]":
    """A stub with the coordinator's certificate; main/todo has `previews`, of change requests into main."""
    await api.with_todo()
    await api.made("/connections/main", name="hub", project="todo", forge="github", clone_url="https://github.com/acme/todo.git")
    follows = {"kind": "preview", "follows": "change_requests", "ref": "refs/heads/main", "connection": "hub", "most": 2, "ttl_s": 3600}
    await api.made("/environments/main/todo", slug="previews", **follows)
    async with channel(f"127.0.0.1:{api.opened.grpc_port}", api.home.tls, "coordinator") as opened:
        yield CatalogueStub(opened)


def request(number: int = 7, *, target: str = "main", fork: bool = False, title: str = "Due dates 🚀") -> pb.ChangeRequest:
    """A change request as the coordinator tells of it."""
    return pb.ChangeRequest(
        organization="main", project="todo", connection="hub", repository="github.com/acme/todo", number=str(number),
        ref="refs/heads/feature", target=f"refs/heads/{target}", title=title, web_url="https://github.com/acme/todo/pull/7", fork=fork,
    )  # fmt: skip


async def _slugs(api: RunningApi) -> list[str]:
    return [item["slug"] for item in (await api.client.get("/environments/main/todo")).json()["items"]]


async def _snapshot(catalogue: "CatalogueAsyncStub", environment: str = "pr-7") -> pb.SnapshotReply:
    return await catalogue.Snapshot(pb.SnapshotRequest(place=pb.Place(organization="main", project="todo", environment=environment)))


async def test_a_change_request_gets_one_environment_however_often_it_is_told(api: RunningApi, catalogue: "CatalogueAsyncStub") -> None:
    """Its display name is the title; another target later does not take it away."""
    (made,) = (await catalogue.OpenPreviews(request())).environments
    assert (made.place.environment, made.kind, made.connection, made.target) == ("pr-7", "preview", "hub", "local")
    assert (made.HasField("preview"), made.preview.fork, made.template) == (True, False, False)
    assert (made.preview.repository, made.preview.number) == ("github.com/acme/todo", "7")
    (again,) = (await catalogue.OpenPreviews(request(target="next", title="Due"))).environments
    assert again.place == made.place
    shown = (await api.client.get("/environments/main/todo/pr-7")).json()
    assert (shown["name"], shown["number"], shown["preview_of"]) == ("#7 Due", "7", "previews")
    assert await _slugs(api) == ["pr-7", "previews", "production"]


async def test_what_goes_elsewhere_or_came_by_another_connection_gets_none(catalogue: "CatalogueAsyncStub") -> None:
    """The pattern is of the branch that the change request shall go into."""
    other = request()
    other.connection = "other"
    for asked in (request(target="next"), other):
        reply = await catalogue.OpenPreviews(asked)
        assert (list(reply.environments), list(reply.refused)) == ([], [])


async def test_one_too_many_is_refused_and_no_other_is_taken_away(api: RunningApi, catalogue: "CatalogueAsyncStub") -> None:
    """The reason says what can be done; those that are there go on being updated."""
    for number in (1, 2):
        await catalogue.OpenPreviews(request(number))
    reply = await catalogue.OpenPreviews(request(3))
    assert not reply.environments
    assert "previews has 2 previews already" in reply.refused[0]
    assert (await catalogue.OpenPreviews(request(2))).environments
    changed = await api.client.patch("/environments/main/todo/previews", json={"most": 3})
    assert changed.json()["most"] == 3
    assert (await catalogue.OpenPreviews(request(3))).environments


async def test_an_environment_of_that_name_is_left_alone(api: RunningApi, catalogue: "CatalogueAsyncStub") -> None:
    """The preview gets another name."""
    await api.made("/environments/main/todo", slug="pr-7", kind="staging")
    (made,) = (await catalogue.OpenPreviews(request())).environments
    assert made.place.environment == "previews-7"


async def test_pushes_do_not_deploy_previews(catalogue: "CatalogueAsyncStub") -> None:
    """Their branch is deployed by the change request alone; by name they are found, and what they are like says so."""
    await catalogue.OpenPreviews(request())
    found = await catalogue.FollowersOf(pb.FollowersRequest(organization="main", project="todo", connection="hub"))
    assert [one.place.environment for one in found.environments] == ["production"]
    by_name = pb.Place(organization="main", project="todo", environment="pr-7")
    assert (await catalogue.EnvironmentOf(by_name)).environments[0].HasField("preview")
    by_name.environment = "previews"
    assert (await catalogue.EnvironmentOf(by_name)).environments[0].template
    project = await catalogue.Project(pb.ProjectRequest(organization="main", project="todo", connection="hub"))
    assert (list(project.refs), list(project.targets)) == (["refs/heads/main"], ["refs/heads/main"])
    of_another = await catalogue.Project(pb.ProjectRequest(organization="main", project="todo", connection="another"))
    assert (list(of_another.refs), list(of_another.targets)) == (["refs/heads/main"], [])


async def test_once_a_fork_s_always_a_fork_s(catalogue: "CatalogueAsyncStub") -> None:
    """The newest word of its forge counts where it takes secrets away, not where it would give them."""
    said = [(await catalogue.OpenPreviews(request(fork=fork))).environments[0].preview.fork for fork in (False, True, False)]
    assert said == [False, True, True]


async def test_a_preview_has_variables_and_secrets_of_what_it_is_like(api: RunningApi, catalogue: "CatalogueAsyncStub") -> None:
    """Its own stand above them; a fork's has the variables, and the names of what it does not get."""
    for environment, colour in (("previews", "blue"), ("pr-7", "green")):
        if environment == "pr-7":
            await catalogue.OpenPreviews(request())
        for name, value in (("COLOUR", colour), (f"ONLY_{colour.upper()}", "1")):
            set_ = await api.client.put(f"/environments/main/todo/{environment}/variables/{name}", json={"value": value})
            assert set_.is_success, set_.text
    for path, value in (("projects/main/todo", "of the project"), ("environments/main/todo/previews", "of previews")):
        assert (await api.client.put(f"/{path}/secrets/API_KEY", json={"value": value})).is_success
    await catalogue.OpenPreviews(request(8, fork=True))
    own, forks = await _snapshot(catalogue), await _snapshot(catalogue, "pr-8")
    assert {name: one.value for name, one in own.variables.items()} == {"COLOUR": "green", "ONLY_BLUE": "1", "ONLY_GREEN": "1"}
    assert {name: one.value for name, one in forks.variables.items()} == {"COLOUR": "blue", "ONLY_BLUE": "1"}
    assert [(one.name, one.version) for one in own.secrets] == [("API_KEY", 2)]
    assert len(own.sealed) == 1
    assert (list(forks.secrets), list(forks.sealed), list(forks.withheld)) == ([], [], ["API_KEY"])


def _removal() -> Story:
    story = Story(environment="pr-7")
    story.created(kind=ReleaseKind.REMOVE)
    story.tell(DeploymentSucceeded(), outcome="succeeded")
    return story


async def test_the_entry_goes_with_the_removal_unless_it_was_opened_again(
    api: RunningApi, nats_url: str, catalogue: "CatalogueAsyncStub"
) -> None:
    """A removal that began before takes nothing away from one that is wanted again."""
    await catalogue.OpenPreviews(request())
    (closing,) = (await catalogue.ClosePreviews(request())).environments
    assert closing.place.environment == "pr-7"
    assert closing.preview.removing
    early = _removal()
    (opened,) = (await catalogue.OpenPreviews(request())).environments
    assert not opened.preview.removing
    for removal in (early, _removal()):
        assert "pr-7" in await _slugs(api)
        await published(nats_url, *removal.events)
        await ended(api, removal.deployment)
    assert await _slugs(api) == ["previews", "production"]


async def test_what_is_planned_after_a_removal_knows_of_it(api: RunningApi, nats_url: str, catalogue: "CatalogueAsyncStub") -> None:
    """However late its events come, and in whatever order: the environment is not there any more, and before that nothing is said."""
    await catalogue.OpenPreviews(request())
    removal = _removal()
    place = pb.Place(organization="main", project="todo", environment="pr-7")

    async def refused_with(code: StatusCode) -> bool:
        with pytest.raises(AioRpcError) as refusal:
            await catalogue.Snapshot(pb.SnapshotRequest(place=place, after=removal.deployment))
        return refusal.value.code() is code

    async def archived(count: int) -> bool:
        page = await api.client.get(f"/deployments/{removal.deployment}/events")
        return page.is_success and len(page.json()["items"]) == count

    for count, event in enumerate(reversed(removal.events), start=1):
        assert await refused_with(StatusCode.ABORTED)
        await published(nats_url, event)
        await eventually(partial(archived, count))
    assert await refused_with(StatusCode.NOT_FOUND)
    assert await _slugs(api) == ["previews", "production"]


async def test_what_nobody_updates_is_removed_and_asked_for_again(api: RunningApi, nats_url: str, catalogue: "CatalogueAsyncStub") -> None:
    """By the database's clock: after its time to live; and an hour after a removal that did not succeed."""
    pool, outbox = api.opened.parts.pool, api.opened.parts.outbox

    async def nothing_waits() -> bool:
        return not await pool.fetchval("SELECT count(*) FROM outbox WHERE stream = 'REQUESTS' AND sent_at IS NULL")

    await catalogue.OpenPreviews(request())
    await expire_now(pool, outbox)
    assert await pool.fetchval("SELECT count(*) FROM environments WHERE removing_at IS NOT NULL") == 0
    await pool.execute("UPDATE environments SET updated_at = now() - interval '61 minutes' WHERE slug = 'pr-7'")
    for reason in ("nobody has updated it for 1 hour", "its removal did not succeed before"):
        await expire_now(pool, outbox)
        await expire_now(pool, outbox)
        wish = ExpireRequested.decode(await fetched(nats_url, "coordinator-requests", "REQUESTS"))
        assert (wish.place.environment, wish.reason) == ("pr-7", reason)
        await eventually(nothing_waits)
        await pool.execute("UPDATE environments SET removing_at = now() - interval '61 minutes' WHERE slug = 'pr-7'")
    await catalogue.OpenPreviews(request())
    assert (await api.client.get("/environments/main/todo/pr-7")).json()["removing_at"] is None


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"slug": "p", "kind": "staging", "follows": "change_requests"}, 422),
        ({"slug": "p", "kind": "staging", "most": 3}, 422),
        ({"slug": "p", "kind": "preview", "follows": "change_requests", "ttl_s": 1}, 422),
        ({"slug": "p", "kind": "preview", "follows": "change_requests"}, 201),
    ],
)
async def test_what_may_follow_change_requests(api: RunningApi, body: dict[str, object], status: int) -> None:
    """Of the kind preview, with limits that make sense; five for a week are usual."""
    await api.with_todo()
    made = await api.client.post("/environments/main/todo", json=body)
    assert made.status_code == status, made.text
    if status == 201:
        assert (made.json()["most"], made.json()["ttl_s"], made.json()["ref"]) == (5, 604800, "refs/heads/*")


async def test_what_has_previews_is_not_removed(api: RunningApi, catalogue: "CatalogueAsyncStub") -> None:
    """They are named."""
    await catalogue.OpenPreviews(request())
    refused = await api.client.delete("/environments/main/todo/previews")
    assert refused.status_code == 409
    assert "pr-7" in refused.json()["detail"]
