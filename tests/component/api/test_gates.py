"""Gates: kept by api, read and answered by their tools as users of their own, and never by anybody who may not."""

import json
from collections.abc import AsyncIterator
from typing import Any

import bcrypt
import nats
import pytest
from nats.aio.client import Client

from services.api import subscriptions
from shared.contracts.events import Event, GatePassed, RequestRefused
from shared.contracts.requests import AnswerRequested
from shared.messages import utc_now
from shared.proto import catalogue_pb2 as pb
from shared.proto.catalogue_pb2_grpc import CatalogueStub
from shared.rpc import channel
from shared.subscribers import Subscribers
from tests.component.api.running import RunningApi, fetched, published
from tests.component.api.test_subscribers import let_in
from tests.polling import eventually

DEPLOYMENT = "01kdeployment"
YES = {"deployment": DEPLOYMENT, "result": "pass", "reason": "CVE-free"}


async def made(api: RunningApi, name: str = "scanner", **more: object) -> dict[str, Any]:
    """A gate of main/todo/production."""
    given: dict[str, object] = {"name": name, "project": "todo", "environment": "production", "before": "deploy"}
    answer: dict[str, Any] = (await api.made("/gates/main", **(given | more))).json()
    return answer


async def sent(nats_url: str) -> AnswerRequested:
    """The answer that the coordinator gets next."""
    return AnswerRequested.decode(await fetched(nats_url, "coordinator-requests", "REQUESTS"))


def bearing(token: str) -> dict[str, str]:
    """Its header."""
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
async def tool(nats_url: str) -> AsyncIterator[Client]:
    """The test server's administrator, where the tool's own user would be: `tests/integration/embedded` has its rights."""
    client = await nats.connect(nats_url, user="admin", password="test", inbox_prefix=b"_INBOX_gate.main_scanner")
    yield client
    await client.close()


async def test_a_gate_has_a_password_that_is_shown_once(api: RunningApi) -> None:
    """With all that its tool is given; and it is let in as what it is, with its hash."""
    await api.with_todo()
    gate = await made(api, deadline_s=60, default="pass")
    assert gate["password"].startswith("slwgate_")
    assert (gate["before"], gate["deadline_s"], gate["default"]) == ("deploy", 60, "pass")
    assert gate["answers_subject"] == "slipway.gate.main.scanner"
    assert gate["answers_url"].endswith("/api/v1/gates/main/scanner/answers")
    assert (gate["connection"]["user"], gate["connection"]["inbox_prefix"]) == ("gate_main_scanner", "_INBOX_gate.main_scanner")

    async def known() -> bool:
        found = Subscribers.model_validate_json(api.home.subscribers.read_bytes()).subscribers
        return any(only.gate and bcrypt.checkpw(gate["password"].encode(), only.password_hash.encode()) for only in found)

    await eventually(known)
    shown = (await api.client.get("/gates/main/scanner")).json()
    listed = (await api.client.get("/gates/main", params={"project": "todo"})).json()["items"]
    assert [one["name"] for one in listed] == ["scanner"]
    assert gate["password"] not in json.dumps([shown, listed])
    await api.audited("gate.created")


async def test_its_tool_can_read_once_it_was_let_in_and_goes_on_where_it_was(api: RunningApi, nats_url: str) -> None:
    """As a subscriber; removed, it is gone, and its name is free for another."""
    await api.with_todo()
    gate = await made(api)
    await let_in_once_known(api, nats_url)
    asked = Event.of(GatePassed(gate="scanner"), "main", "todo", "production")
    question = "slipway.evt.main.todo.production.gate.requested.scanner"
    admin = await nats.connect(nats_url, user="admin", password="test")
    await admin.jetstream().publish(question, asked.encode())
    reader = await admin.jetstream().pull_subscribe_bind("gate_main_scanner", "EVENTS")
    (message,) = await reader.fetch(1, timeout=10)
    await message.ack_sync()
    shown = (await api.client.get("/gates/main/scanner")).json()
    assert (shown["ready"], shown["waiting"]) == (True, 0)
    parts = api.opened.parts
    await subscriptions.note_once(parts.pool, parts.consumers)
    assert await parts.pool.fetchval("SELECT read_until FROM gates") is not None
    await admin.close()
    assert (await api.client.delete("/gates/main/scanner")).status_code == 204
    assert (await api.client.get("/gates/main/scanner")).status_code == 404
    assert (await made(api))["password"] != gate["password"]


async def let_in_once_known(api: RunningApi, nats_url: str) -> None:
    """The file names it, and the administrator has done its part."""

    async def named() -> bool:
        return bool(Subscribers.model_validate_json(api.home.subscribers.read_bytes()).subscribers)

    await eventually(named)
    await let_in(api, nats_url)


async def test_the_coordinator_hears_of_the_gates_of_an_environment_and_of_its_previews(api: RunningApi) -> None:
    """A preview asks what the environment asks that it is like; another environment does not."""
    await api.with_todo()
    await api.made("/connections/main", name="hub", project="todo", forge="github", clone_url="https://github.com/acme/todo.git")
    await api.made("/environments/main/todo", slug="previews", kind="preview", follows="change_requests", ref="refs/heads/main")
    await made(api, deadline_s=60)
    await made(api, "license", environment="previews", before="build", default="pass")
    change = pb.ChangeRequest(
        organization="main", project="todo", connection="hub", repository="github.com/acme/todo", number="7", ref="refs/heads/x",
        target="refs/heads/main", title="Due dates",
    )  # fmt: skip
    async with channel(f"127.0.0.1:{api.opened.grpc_port}", api.home.tls, "coordinator") as opened:
        catalogue = CatalogueStub(opened)
        asked = pb.Place(organization="main", project="todo", environment="production")
        (production,) = (await catalogue.EnvironmentOf(asked)).environments
        (preview,) = (await catalogue.OpenPreviews(change)).environments
    (gate,) = production.gates
    assert (gate.name, gate.before, gate.deadline_s, gate.default) == ("scanner", "deploy", 60, "fail")
    assert [(one.name, one.before, one.default) for one in preview.gates] == [("license", "build", "pass")]
    refused = await api.client.post("/gates/main", json={"name": "x", "project": "todo", "environment": "pr-7", "before": "deploy"})
    assert "add the gate to previews" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("more", "status", "code"),
    [
        ({"before": "switch", "deadline_s": 3601}, 422, "deadline-too-long"),
        ({"before": "never"}, 422, "invalid"),
        ({"deadline_s": 0}, 422, "invalid"),
        ({"default": "maybe"}, 422, "invalid"),
        ({"name": "a.b"}, 422, "invalid"),
        ({"name": "there"}, 409, "exists"),
        ({"environment": "nowhere"}, 404, "not-found"),
    ],
)
async def test_what_a_gate_cannot_be_is_said(api: RunningApi, more: dict[str, object], status: int, code: str) -> None:
    """Names are unique in the organization: subjects are."""
    await api.with_todo()
    await made(api, "there")
    given = {"name": "scanner", "project": "todo", "environment": "production", "before": "deploy"}
    answer = await api.client.post("/gates/main", json=given | more)
    assert answer.status_code == status
    assert answer.json()["type"].endswith(code)


async def test_only_an_admin_of_the_environment_changes_or_answers_it(api: RunningApi) -> None:
    """Whoever pushes sees it, and can neither take it away nor answer for it; nobody else sees it at all."""
    await api.with_todo()
    await made(api)
    deployer = bearing(await api.person("deployer", "project/main/todo"))
    body = {"name": "mine", "project": "todo", "environment": "production", "before": "deploy"}
    assert (await api.client.post("/gates/main", json=body, headers=deployer)).status_code == 403
    assert (await api.client.delete("/gates/main/scanner", headers=deployer)).status_code == 403
    assert (await api.client.patch("/gates/main/scanner", json={"default": "pass"}, headers=deployer)).status_code == 403
    assert (await api.client.post("/gates/main/scanner/password", headers=deployer)).status_code == 403
    assert (await api.client.post("/gates/main/scanner/answers", json=YES, headers=deployer)).status_code == 403
    assert (await api.client.get("/gates/main/scanner", headers=deployer)).status_code == 200
    assert (await api.client.get("/gates/main", headers=deployer)).status_code == 403
    assert (await api.client.get("/gates/main", params={"project": "todo"}, headers=deployer)).status_code == 200
    await api.made("/projects/main", slug="other")
    stranger = bearing(await api.person("admin", "project/main/other"))
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/answers")):
        asked = await api.client.request(method, f"/gates/main/scanner{path}", headers=stranger, json=YES if path else None)
        assert asked.status_code == 404, (method, path)
    admin = bearing(await api.person("admin", "environment/main/todo/production"))
    assert (await api.client.delete("/gates/main/scanner", headers=admin)).status_code == 204


async def test_it_is_changed_for_deployments_to_come(api: RunningApi) -> None:
    """What is not named stays; it is the same gate, so those that wait for it may be answered; before the switch an hour is the most."""
    await api.with_todo()
    await made(api, deadline_s=7200, default="pass")
    identity = await api.opened.parts.pool.fetchval("SELECT id FROM gates")
    refused = await api.client.patch("/gates/main/scanner", json={"before": "switch"})
    assert (refused.status_code, "3600 s at most" in refused.text) == (422, True)
    changed = (await api.client.patch("/gates/main/scanner", json={"before": "switch", "deadline_s": 90})).json()
    assert (changed["before"], changed["deadline_s"], changed["default"]) == ("switch", 90, "pass")
    assert await api.opened.parts.pool.fetchval("SELECT id FROM gates") == identity
    assert (await api.client.patch("/gates/main/none", json={"default": "pass"})).status_code == 404
    async with channel(f"127.0.0.1:{api.opened.grpc_port}", api.home.tls, "coordinator") as opened:
        asked = pb.Place(organization="main", project="todo", environment="production")
        (production,) = (await CatalogueStub(opened).EnvironmentOf(asked)).environments
    assert [(gate.id, gate.before, gate.deadline_s) for gate in production.gates] == [(identity, "switch", 90)]
    await api.audited("before switch, 90 s, pass by default")


async def test_a_new_password_takes_the_place_of_the_former(api: RunningApi) -> None:
    """At once over HTTP, and for whoever lets it in on the bus; its consumer stays the same."""
    await api.with_todo()
    former = await made(api)
    renewed = (await api.client.post("/gates/main/scanner/password")).json()
    assert renewed["password"].startswith("slwgate_")
    for password, status in ((former["password"], 401), (renewed["password"], 202)):
        answered = await api.client.post("/gates/main/scanner/answers", json=YES, headers=bearing(password))
        assert answered.status_code == status

    async def let_in_with_it() -> bool:
        (only,) = Subscribers.model_validate_json(api.home.subscribers.read_bytes()).subscribers
        identity = await api.opened.parts.pool.fetchval("SELECT id FROM gates")
        return only.id == identity and bcrypt.checkpw(renewed["password"].encode(), only.password_hash.encode())

    await eventually(let_in_with_it)
    assert renewed["password"] not in (await api.client.get("/gates/main/scanner")).text


async def test_its_own_token_answers_it_and_nothing_else(api: RunningApi, nats_url: str) -> None:
    """The coordinator hears who, what, why, when, and of which gate; another gate's token is none here."""
    await api.with_todo()
    gate, other = await made(api), await made(api, "ticket")
    mine = bearing(gate["password"])
    for token in (other["password"], "slwgate_wrong", f"slwgate_{'x' * 100}"):
        assert (await api.client.post("/gates/main/scanner/answers", json=YES, headers=bearing(token))).status_code == 401
    assert (await api.client.get("/gates/main/scanner", headers=mine)).status_code == 401
    assert (await api.client.post("/gates/main/none/answers", json=YES, headers=mine)).status_code == 401
    accepted = await api.client.post("/gates/main/scanner/answers", json=YES, headers=mine)
    assert accepted.status_code == 202
    request = await sent(nats_url)
    assert (request.id, request.verb) == (accepted.json()["request"], "answer")
    assert (request.by, request.subject, request.result, request.reason) == ("gate scanner", "gate/main/scanner", "pass", "CVE-free")
    assert (request.gate, request.target_deployment) == ("scanner", DEPLOYMENT)
    assert abs((request.time - utc_now()).total_seconds()) < 60
    assert request.gate_id == await api.opened.parts.pool.fetchval("SELECT id FROM gates WHERE name = 'scanner'")


async def test_whoever_answered_reads_whether_it_counted(api: RunningApi, nats_url: str) -> None:
    """The gate's event names the request; or a refusal says why not."""
    await api.with_todo()
    mine = bearing((await made(api))["password"])
    urls = [(await api.client.post("/gates/main/scanner/answers", json=YES, headers=mine)).json()["url"] for _ in "ab"]
    first, second = (url.rpartition("/")[2] for url in urls)
    passed = Event.of(GatePassed(gate="scanner", by="gate scanner"), "main", "todo", "production", cause=first, deployment=DEPLOYMENT)
    refused = Event.of(RequestRefused(request=second, reason="the gate scanner has passed already"), "main", cause=second)
    await published(nats_url, passed, refused)

    async def both() -> list[tuple[str, str | None]]:
        pages = [(await api.client.get(url.removeprefix("/api/v1"), headers=mine)).json() for url in urls]
        found = [(page["state"], page["refusal"]) for page in pages]
        assert "sent" not in dict(found)
        return found

    assert await eventually(both) == [("done", None), ("refused", "the gate scanner has passed already")]
    other = bearing((await made(api, "ticket"))["password"])
    assert (await api.client.get(f"/gates/main/ticket/answers/{first}", headers=other)).status_code == 404


async def test_somebody_who_may_answers_in_its_place(api: RunningApi, nats_url: str) -> None:
    """Under their own name, and the audit log says so; a key makes it one answer."""
    await api.with_todo()
    await made(api)
    headers = {"Idempotency-Key": "once"}
    for _ in "ab":
        assert (await api.client.post("/gates/main/scanner/answers", json=YES, headers=headers)).status_code == 202
    request = await sent(nats_url)
    assert request.by != "gate scanner"
    assert await api.opened.parts.pool.fetchval("SELECT count(*) FROM requests WHERE verb = 'answer'") == 1
    await api.audited("deployment.answer")


@pytest.mark.parametrize(
    "body",
    [
        {"deployment": DEPLOYMENT, "result": "maybe"},
        {"result": "pass"},
        {"deployment": DEPLOYMENT, "result": "pass", "reason": "x" * 1001},
        {"deployment": DEPLOYMENT, "result": "pass", "reason": "\u0000"},
        {"deployment": "a b", "result": "pass"},
    ],
)
async def test_what_is_no_answer_is_refused(api: RunningApi, nats_url: str, tool: Client, body: dict[str, str]) -> None:
    """Over HTTP and on the bus alike, and nothing is kept of it."""
    await api.with_todo()
    mine = bearing((await made(api))["password"])
    assert (await api.client.post("/gates/main/scanner/answers", json=body, headers=mine)).status_code == 422
    reply = json.loads((await tool.request("slipway.gate.main.scanner", json.dumps(body).encode(), timeout=10)).data)
    assert "request" not in reply
    assert "no answer" in reply["error"]
    assert not await api.opened.parts.pool.fetchval("SELECT count(*) FROM requests")


async def test_an_answer_on_the_gates_subject_is_kept_and_replied_to(api: RunningApi, nats_url: str, tool: Client) -> None:
    """The reply comes once it is kept; the coordinator hears of it as over HTTP."""
    await api.with_todo()
    await made(api)
    reply = json.loads((await tool.request("slipway.gate.main.scanner", json.dumps(YES).encode(), timeout=10)).data)
    request = await sent(nats_url)
    assert reply == {"request": request.id, "again": False}
    assert (request.by, request.result, request.gate) == ("gate scanner", "pass", "scanner")
    large = json.loads((await tool.request("slipway.gate.main.scanner", b"x" * 20_000, timeout=10)).data)
    assert "16 KiB" in large["error"]
    assert (await api.client.delete("/gates/main/scanner")).status_code == 204
    gone = json.loads((await tool.request("slipway.gate.main.scanner", json.dumps(YES).encode(), timeout=10)).data)
    assert gone["error"] == "There is no gate scanner."


async def test_api_replies_nowhere_but_to_the_gates_own_inbox(api: RunningApi, tool: Client) -> None:
    """A reply subject of the tool's choice would be written to with api's rights."""
    await api.with_todo()
    await made(api)
    heard: list[str] = []

    async def hear(message: Any) -> None:
        heard.append(message.subject)

    for subject in ("elsewhere", "_INBOX_gate.main_ticket.x", "_INBOX_gate.main_scanner.x"):
        await tool.subscribe(subject, cb=hear)
        await tool.publish("slipway.gate.main.scanner", json.dumps(YES).encode(), reply=subject)
    await tool.request("slipway.gate.main.scanner", json.dumps(YES).encode(), timeout=10)

    async def once() -> bool:
        return heard == ["_INBOX_gate.main_scanner.x"]

    await eventually(once)


async def test_it_goes_with_its_environment(api: RunningApi) -> None:
    """Its tool is let in no more."""
    await api.with_todo()
    await made(api)
    await api.opened.parts.pool.execute("DELETE FROM environments")
    assert (await api.client.get("/gates/main/scanner")).status_code == 404
