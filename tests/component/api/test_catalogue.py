"""The catalogue over REST."""

import json

import nats
import pytest

from shared.contracts.events import CatalogueChanged, Event
from tests.component.api.github_apps import APP, pem
from tests.component.api.running import RunningApi
from tests.polling import eventually


@pytest.mark.parametrize(
    ("path", "body", "most"),
    [
        ("/channels/main", {"name": "c", "kind": "webhook", "url": "https://tool.example", "api_url": "x" * 2001}, 2000),
        ("/channels/main", {"name": "c", "kind": "webhook", "url": "https://tool.example", "repository": "x" * 501}, 500),
        ("/channels/main", {"name": "c", "kind": "webhook", "url": "https://tool.example", "forge": "x" * 101}, 100),
        ("/channels/main", {"name": "c", "kind": "webhook", "url": "https://tool.example", "events": ["a." + "x" * 99]}, 100),
        ("/environments/main/todo/production/rollback", {"to": "x" * 65}, 64),
        ("/tokens", {"name": "t", "person": "x" * 65}, 64),
        ("/environments/main/todo/production/services/web", {"build_args": {"A": "x" * 32_769}}, 32_768),
        ("/environments/main/todo/production/services/web", {"build_args": {"x" * 256: "1"}}, 255),
        ("/environments/main/todo/production/services/web", {"domains": ["x" * 1001]}, 1000),
    ],
)
async def test_what_is_too_long_is_refused_with_how_long_it_may_be(api: RunningApi, path: str, body: dict[str, object], most: int) -> None:
    """All that is stored is read by all who follow the catalogue."""
    await api.with_todo()
    refused = await api.client.request("PUT" if "/services/" in path else "POST", path, json=body)
    assert refused.status_code == 422
    assert f"at most {most} characters" in refused.text


async def test_the_first_start_makes_target_and_organization(api: RunningApi) -> None:
    """A new installation has the organization main and the local target with its public key."""
    organizations = (await api.client.get("/organizations")).json()
    assert [item["slug"] for item in organizations["items"]] == ["main"]
    targets = (await api.client.get("/targets")).json()
    assert [item["name"] for item in targets["items"]] == ["local"]


async def test_production_follows_main(api: RunningApi) -> None:
    """An environment named production follows refs/heads/main, another one the branch of its own name."""
    await api.with_todo()
    staging = (await api.made("/environments/main/todo", slug="staging", kind="staging")).json()
    production = (await api.client.get("/environments/main/todo/production")).json()
    assert production["ref"] == "refs/heads/main"
    assert production["target"] == "local"
    assert staging["ref"] == "refs/heads/staging"


async def test_lists_are_paged(api: RunningApi) -> None:
    """Each page leads to the next until all were seen once."""
    for number in range(5):
        await api.made("/projects/main", slug=f"p{number}")
    seen, after = [], ""
    while True:
        page = (await api.client.get("/projects/main", params={"limit": 2, "after": after})).json()
        seen += [item["slug"] for item in page["items"]]
        if page["next"] is None:
            break
        after = page["next"]
    assert seen == ["p0", "p1", "p2", "p3", "p4"]


async def test_a_second_project_of_a_name_is_refused(api: RunningApi) -> None:
    """409 with a problem document that says which."""
    await api.made("/projects/main", slug="todo")
    again = await api.client.post("/projects/main", json={"slug": "todo"})
    assert again.status_code == 409
    assert again.headers["content-type"] == "application/problem+json"
    assert "main/todo" in again.json()["detail"]


@pytest.mark.parametrize("slug", ["Main", "a.b", "-a", "a" * 41, "ü", ""])
async def test_a_bad_slug_is_refused_with_its_place(api: RunningApi, slug: str) -> None:
    """422 that names the field."""
    response = await api.client.post("/projects/main", json={"slug": slug})
    assert response.status_code == 422
    assert response.json()["errors"][0]["at"] == "body.slug"


async def test_a_project_with_environments_stays(api: RunningApi) -> None:
    """Deleting it is refused until its environments are gone."""
    await api.with_todo()
    response = await api.client.delete("/projects/main/todo")
    assert response.status_code == 409
    assert "environments" in response.json()["detail"]


async def test_each_change_is_an_event_and_an_audit_entry(api: RunningApi, nats_url: str) -> None:
    """The event names kind, action and person; auth has an entry of it."""
    await api.made("/projects/main", slug="todo")
    client = await nats.connect(nats_url, user="admin", password="test")
    subscription = await client.jetstream().subscribe("slipway.evt.main.todo._.catalogue.changed")
    message = await subscription.next_msg(timeout=30)
    await client.close()
    fact = Event.decode(message.data).fact()
    assert isinstance(fact, CatalogueChanged)
    assert (fact.kind, fact.name, fact.action) == ("project", "todo", "created")

    async def audited() -> bool:
        entries = (await api.client.get("/audit/main")).json()["items"]
        return any(entry["action"] == "project.created" and entry["details"] == "todo" for entry in entries)

    assert await eventually(audited)


async def test_variables_have_versions_and_services_their_own(api: RunningApi) -> None:
    """A changed value is a new version, the same value is not; a service's variables stand beside the environment's."""
    await api.with_todo()
    path = "/environments/main/todo/production/variables"
    assert (await api.client.put(f"{path}/LOG_LEVEL", json={"value": "info"})).json() == {"changed": ["LOG_LEVEL"]}
    assert (await api.client.put(f"{path}/LOG_LEVEL", json={"value": "info"})).json() == {"changed": []}
    await api.client.put(f"{path}/LOG_LEVEL", json={"value": "débug ✓"})
    await api.client.put(f"{path}/PORT", params={"service": "web"}, json={"value": "80"})
    items = (await api.client.get(path)).json()["items"]
    assert [(item["service"], item["name"], item["value"], item["version"]) for item in items] == [
        ("", "LOG_LEVEL", "débug ✓", 2),
        ("web", "PORT", "80", 1),
    ]
    assert (await api.client.delete(f"{path}/LOG_LEVEL")).status_code == 204
    assert (await api.client.delete(f"{path}/LOG_LEVEL")).status_code == 404
    changed = await api.client.patch(path, json={"values": {"A": "1", "B": "2", "LOG_LEVEL": "warn"}})
    assert changed.json() == {"changed": ["A", "B", "LOG_LEVEL"]}
    newest = {item["name"]: item["version"] for item in (await api.client.get(path)).json()["items"]}
    assert newest["LOG_LEVEL"] == 4


async def test_many_variables_are_set_all_or_none(api: RunningApi) -> None:
    """One bad name refuses the whole change."""
    await api.with_todo()
    path = "/environments/main/todo/production/variables"
    response = await api.client.patch(path, json={"values": {"GOOD": "1", "BAD NAME": "2"}})
    assert response.status_code == 422
    assert (await api.client.get(path)).json()["items"] == []


async def test_secrets_are_listed_by_name_and_revealed_with_an_audit_entry(api: RunningApi) -> None:
    """No list holds a value; whoever reveals one is in the audit log, which holds no value either."""
    await api.with_todo()
    path = "/environments/main/todo/production/secrets"
    stored = (await api.client.put(f"{path}/API_KEY", json={"value": "hunter2-canary"})).json()
    assert stored["version"] == 1
    assert "hunter2" not in (await api.client.get(path)).text
    revealed = (await api.made(f"{path}/API_KEY/reveal")).json()
    assert revealed == {"name": "API_KEY", "version": 1, "value": "hunter2-canary"}

    async def audited() -> bool:
        log = await api.client.get("/audit/main")
        assert "hunter2" not in log.text
        return any(entry["action"] == "secret.reveal" for entry in log.json()["items"])

    assert await eventually(audited)


async def test_an_environment_s_secret_stands_above_the_project_s(api: RunningApi) -> None:
    """Its own value while it has one, the project's after it was unset; versions count over both."""
    await api.with_todo()
    await api.client.put("/projects/main/todo/secrets/KEY", json={"value": "of the project"})
    own = (await api.client.put("/environments/main/todo/production/secrets/KEY", json={"value": "own"})).json()
    assert own["version"] == 2
    reveal = "/environments/main/todo/production/secrets/KEY/reveal"
    assert (await api.made(reveal)).json()["value"] == "own"
    assert (await api.client.delete("/environments/main/todo/production/secrets/KEY")).status_code == 204
    assert (await api.made(reveal)).json()["value"] == "of the project"
    assert (await api.made(reveal, version=2)).json()["value"] == "own"


async def test_no_secret_is_readable_at_rest(api: RunningApi) -> None:
    """Neither secrets nor tokens nor kept answers stand in the database in plain text."""
    await api.with_todo()
    await api.client.put("/environments/main/todo/production/secrets/KEY", json={"value": "canary-one"})
    body = {
        "name": "hub",
        "project": "todo",
        "forge": "github",
        "clone_url": "https://github.com/acme/todo.git",
        "token": "canary-two",
        "secret": "canary-three-of-sixteen",
    }
    await api.client.post("/connections/main", json=body, headers={"Idempotency-Key": "k"})
    app = {"id": APP, "private_key": pem()}
    await api.made("/connections/main", **{**body, "name": "app", "token": None, "app": app})
    chat = {"name": "chat", "kind": "chat", "url": "slack://canary-four"}
    await api.client.post("/channels/main", json=chat)
    rows: list[str] = []
    async with api.opened.parts.pool.acquire() as connection:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'api'")
        for table in tables:
            found = await connection.fetch(f'SELECT t::text FROM "{table["tablename"]}" t')  # noqa: S608
            rows += [row[0] for row in found]
    everything = "\n".join(rows)
    assert "hub" in everything
    for canary in ("canary-one", "canary-two", "canary-three", "canary-four", pem().splitlines()[1]):
        assert canary not in everything
        assert canary.encode().hex() not in everything


async def test_a_connection_s_secret_is_shown_once_and_rotated(api: RunningApi) -> None:
    """The made secret is in the answer to its making only; a rotation keeps the former one until it is finished."""
    await api.with_todo()
    made = (
        await api.made("/connections/main", name="hub", project="todo", forge="github", clone_url="https://github.com/Acme/todo.git")
    ).json()
    assert made["repository"] == "github.com/acme/todo"
    assert made["hook_url"].endswith("/hooks/hub")
    shown = (await api.client.get("/connections/main/hub")).text
    assert made["secret"] not in shown
    rotated = (await api.made("/connections/main/hub/rotate")).json()
    assert rotated["rotating"]
    assert rotated["secret"] != made["secret"]
    finished = (await api.made("/connections/main/hub/finish-rotation")).json()
    assert not finished["rotating"]


@pytest.mark.parametrize(
    "moved",
    [
        {"clone_url": "https://evil.example/acme/todo.git"},
        {"api_url": "https://evil.example"},
        {"clone_url": "http://github.com/acme/todo.git"},
        {"clone_url": "https://github.com:8443/acme/todo.git"},
        {"clone_url": "https://github.com.evil.example/acme/todo.git", "api_url": "https://api.github.com"},
    ],
)
async def test_a_connection_s_token_goes_to_no_other_host(api: RunningApi, moved: dict[str, str]) -> None:
    """Whoever changes where a connection leads has to know its token: the stored one is not sent there."""
    await api.with_todo()
    clone_url = "https://github.com/acme/todo.git"
    await api.made("/connections/main", name="hub", project="todo", forge="github", clone_url=clone_url, token="canary")
    refused = await api.client.patch("/connections/main/hub", json=moved)
    assert refused.status_code == 422
    assert "token" in refused.json()["detail"]
    kept = (await api.client.get("/connections/main/hub")).json()
    assert (kept["clone_url"], kept["api_url"], kept["has_token"]) == (clone_url, "https://api.github.com", True)
    same_host = await api.client.patch("/connections/main/hub", json={"clone_url": "https://GitHub.com:443/acme/other.git"})
    assert same_host.json()["has_token"]
    assert (await api.client.patch("/connections/main/hub", json=moved | {"token": None})).json()["has_token"] is False
    assert (await api.client.patch("/connections/main/hub", json={"clone_url": clone_url})).status_code == 200
    assert (await api.client.patch("/connections/main/hub", json=moved | {"token": "another"})).json()["has_token"]


async def test_a_connection_that_moves_takes_along_what_its_address_said(api: RunningApi) -> None:
    """The repository's identity, by which deliveries are known, and the API, which gets the token; what somebody said otherwise stays."""
    await api.with_todo()
    clone_url = "https://github.com/acme/todo.git"
    await api.made("/connections/main", name="hub", project="todo", forge="github", clone_url=clone_url, token="canary")

    async def moved(**more: str) -> tuple[str, str]:
        page = (await api.client.patch("/connections/main/hub", json=more)).json()
        return page["repository"], page["api_url"]

    assert await moved(clone_url="https://github.com/acme/renamed.git") == ("github.com/acme/renamed", "https://api.github.com")
    own = ("git.example/acme/todo", "https://git.example/api/v3")
    assert await moved(clone_url="https://git.example/acme/todo.git", token="another") == own
    assert await moved(repository="git.example/Acme/Todo") == ("git.example/Acme/Todo", own[1])
    assert await moved(clone_url="https://git.example/scm/todo.git") == ("git.example/Acme/Todo", own[1])


async def test_a_channel_s_token_goes_to_no_other_host(api: RunningApi) -> None:
    """It follows a renamed repository; at another server it needs the token of that one."""
    await api.with_todo()
    forge = {"kind": "forge", "forge": "github", "repository": "github.com/acme/todo", "secret": "canary"}
    await api.made("/channels/main", name="hub", **forge)
    renamed = await api.client.patch("/channels/main/hub", json={"repository": "https://github.com/Acme/Renamed.git"})
    assert (renamed.json()["repository"], renamed.json()["api_url"]) == ("github.com/acme/renamed", "https://api.github.com")
    elsewhere = {"repository": "git.example/acme/todo", "api_url": "https://git.example/api/v3"}
    refused = await api.client.patch("/channels/main/hub", json=elsewhere)
    assert (refused.status_code, refused.json()["type"].rpartition("/")[2]) == (422, "token-needed")
    assert (await api.client.get("/channels/main/hub")).json()["api_url"] == "https://api.github.com"
    assert (await api.client.patch("/channels/main/hub", json=elsewhere | {"secret": "another"})).json()["api_url"] == elsewhere["api_url"]
    await api.made("/channels/main", name="tool", kind="webhook", url="https://example.com")
    assert (await api.client.patch("/channels/main/tool", json=elsewhere)).status_code == 422


async def test_a_domain_belongs_to_one_service(api: RunningApi) -> None:
    """A second service is refused it, in any spelling; when the first gives it up it is free."""
    await api.with_todo()
    path = "/environments/main/todo/production/services"
    first = await api.client.put(f"{path}/web", json={"domains": ["Bücher.example"]})
    assert first.json()["domains"] == ["xn--bcher-kva.example"]
    second = await api.client.put(f"{path}/other", json={"domains": ["xn--bcher-kva.EXAMPLE."]})
    assert second.status_code == 409
    assert (await api.client.get(f"{path}/other")).status_code == 404
    await api.client.put(f"{path}/web", json={"domains": []})
    assert (await api.client.put(f"{path}/other", json={"domains": ["bücher.example"]})).status_code == 200


async def test_a_channel_s_address_is_masked_where_it_is_a_credential(api: RunningApi) -> None:
    """Chat addresses hold tokens: only their scheme is shown. A webhook's made secret is shown once."""
    await api.made("/channels/main", name="chat", kind="chat", url="slack://T1/B2/secretpart")
    hook = (await api.made("/channels/main", name="hook", kind="webhook", url="https://example.com/in")).json()
    assert hook["secret"].startswith("whsec_")
    listed = (await api.client.get("/channels/main")).text
    assert "secretpart" not in listed
    assert hook["secret"] not in listed
    assert {item["name"]: item["url"] for item in json.loads(listed)["items"]} == {
        "chat": "slack://…",
        "hook": "https://example.com/in",
    }


async def test_a_webhook_s_secret_is_exchanged_without_a_break(api: RunningApi) -> None:
    """The new one is shown once; a rotation is finished, or ended by a secret that takes the place of both."""
    first = (await api.made("/channels/main", name="hook", kind="webhook", url="https://example.com/in")).json()
    assert (await api.client.post("/channels/main/hook/finish-rotation")).status_code == 409
    second = (await api.made("/channels/main/hook/rotate")).json()
    assert second["secret"].startswith("whsec_")
    assert (second["rotating"], second["secret"] != first["secret"]) == (True, True)
    assert second["secret"] not in (await api.client.get("/channels/main/hook")).text
    assert not (await api.made("/channels/main/hook/finish-rotation")).json()["rotating"]
    own = f"whsec_{'A' * 43}="
    assert (await api.made("/channels/main/hook/rotate", secret=own)).json()["secret"] == own
    changed = await api.client.patch("/channels/main/hook", json={"secret": first["secret"]})
    assert not changed.json()["rotating"]
    await api.made("/channels/main", name="chat", kind="chat", url="slack://T1/B2/C3")
    for name, body in (("chat", {}), ("hook", {"secret": "whsec_short"})):
        assert (await api.client.post(f"/channels/main/{name}/rotate", json=body)).status_code == 422
    viewer = {"Authorization": f"Bearer {await api.person('viewer', 'organization/main')}"}
    assert (await api.client.post("/channels/main/hook/rotate", headers=viewer)).status_code == 403
    await api.audited("a new signing secret")


async def test_a_webhook_may_be_told_cdevents(api: RunningApi) -> None:
    """Which it names by their own kinds; a pattern that none has is said, and so is another kind of channel."""
    wanted = {"name": "hook", "kind": "webhook", "url": "https://example.com/in", "format": "cdevents"}
    for more, code in (
        ({"events": ["deployment.*"]}, "bad-events"),
        ({"kind": "chat", "url": "slack://a/b/c"}, "bad-format"),
        ({"format": "x"}, "invalid"),
    ):
        refused = await api.client.post("/channels/main", json=wanted | more)
        assert (refused.status_code, refused.json()["type"].rpartition("/")[2]) == (422, code)
    made = (await api.made("/channels/main", **wanted, events=["build.*", "*.finished"])).json()
    assert (made["format"], made["events"]) == ("cdevents", ["build.*", "*.finished"])
    assert (await api.client.patch("/channels/main/hook", json={"events": ["image.built"]})).status_code == 422
    other = (await api.made("/channels/main", name="other", kind="webhook", url="https://example.com/in")).json()
    assert other["format"] == "events"
