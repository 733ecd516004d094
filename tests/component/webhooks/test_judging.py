"""Deliveries that are stored wait for their turn to be judged: they are shown as such, none is lost, and none keeps the others."""

import asyncio
import json
from typing import Any

import pytest

from services.webhooks import intake, judging, reading
from services.webhooks.deliveries import Deliveries
from services.webhooks.forges.document import Headers
from services.webhooks.forges.port import Reading
from services.webhooks.reading import Reader
from services.webhooks.requests import busy
from services.webhooks.store import Store
from shared.outbox import Outbox
from tests.component.webhooks.conftest import Running, Webhooks, undecided
from tests.component.webhooks.deliveries import SECRET, A, B, C, deliver, push, signed
from tests.component.webhooks.neighbours import Api
from tests.polling import eventually
from tests.unit.webhooks.forge_cases import delivery

MOMENT_S = 0.05
TOGETHER = 200


@pytest.fixture(autouse=True)
def _short_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers do not wait for long for what becomes of a delivery."""
    monkeypatch.setattr(judging, "MOMENT_S", MOMENT_S)


def _dsn(webhooks: Webhooks) -> str:
    return webhooks.settings.postgres_dsn.get_secret_value()


async def _waiting(webhooks: Webhooks) -> int:
    return int(await webhooks.pool.fetchval("SELECT count(*) FROM backlog"))


async def test_what_waits_is_answered_and_shown_and_judged_in_its_order(webhooks: Webhooks) -> None:
    """The answer says that it is stored; what the sweep misses of its connection may be among it; a redelivery is known already."""
    async with undecided(_dsn(webhooks)):
        answers = [await deliver(webhooks.http, push(commit), delivery=f"d-{commit[0]}") for commit in (A, B)]
        assert [(answer.status_code, answer.json()["status"]) for answer in answers] == [(202, "stored")] * 2
        assert not any("changes" in answer.json() for answer in answers)
        shown = await Deliveries(webhooks.pool).newest("main", "gh", "", 10)
        assert [page.reason for page in shown] == ["it waits for its turn: others came before it"] * 2
        store = Store(webhooks.pool, Outbox("webhooks"))
        assert [await store.waits("gh"), await store.waits("other")] == [True, False]
        again = await deliver(webhooks.http, push(B), delivery="d-b")
        assert (again.status_code, again.json()["delivery"]) == (200, answers[1].json()["delivery"])
    changes = sorted([await webhooks.coordinator.take() for _ in range(2)], key=lambda change: change.arrival)
    assert [(change.commit, change.delivery) for change in changes] == [
        (commit, answer.json()["delivery"]) for commit, answer in zip((A, B), answers, strict=True)
    ]
    shown = await Deliveries(webhooks.pool).newest("main", "gh", "", 10)
    assert [(page.reason, len(page.changes)) for page in shown] == [(None, 1)] * 2


async def test_in_a_burst_what_deliveries_say_is_read_after_the_answer(webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for what is no JSON: a change is made, and what leads to none is shown with its reason."""
    monkeypatch.setattr(intake, "MANY", 0)
    sent = {
        "push": push(A),
        "ping": {"zen": "Keep it logically awesome."},
        "create": {"ref_type": "branch"},
        "pull_request": {"action": "opened"},
    }
    async with undecided(_dsn(webhooks)):
        for event, payload in sent.items():
            answer = await deliver(webhooks.http, payload, event=event, delivery=event)
            assert (answer.status_code, answer.json()["status"]) == (202, "stored")
        assert (await deliver(webhooks.http, b'{"ref": ', delivery="torn")).status_code == 400
    assert (await webhooks.coordinator.take()).commit == A

    async def judged() -> bool:
        return await _waiting(webhooks) == 0

    await eventually(judged)
    shown = {page.key: page.reason for page in await Deliveries(webhooks.pool).newest("main", "gh", "", 10)}
    assert shown.pop("push") is None
    assert shown.pop("ping") == "pong: Keep it logically awesome."
    assert str(shown.pop("create")).startswith("the branch was made")
    assert str(shown.pop("pull_request")).startswith("it could not be read: the payload lacks")
    assert ["the body is not JSON" in str(reason) for reason in shown.values()] == [True]


async def test_no_more_is_stored_than_can_be_judged_soon(webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes then is told to come again; once there is room it is taken, and nothing that was taken is missing."""
    monkeypatch.setattr(judging, "MOST", 2)
    async with undecided(_dsn(webhooks)):
        answers = [await deliver(webhooks.http, push(A, ref=f"refs/heads/{name}"), delivery=name) for name in ("one", "two", "three")]
        assert [answer.status_code for answer in answers] == [202, 202, 503]
        assert int(answers[2].headers["retry-after"]) > 0
    assert {(await webhooks.coordinator.take()).ref for _ in range(2)} == {"refs/heads/one", "refs/heads/two"}

    async def taken() -> bool:
        return (await deliver(webhooks.http, push(A, ref="refs/heads/three"), delivery="three")).status_code == 202

    await eventually(taken)
    assert (await webhooks.coordinator.take()).ref == "refs/heads/three"


async def test_what_is_large_is_read_alone(webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch) -> None:
    """In its order, among small ones."""
    monkeypatch.setattr(intake, "MANY", 0)
    monkeypatch.setattr(judging, "TOGETHER", 12_000)
    async with undecided(_dsn(webhooks)):
        for commit, size in ((A, 0), (B, 20_000), (C, 0)):
            payload = push(commit) | {"head_commit": {"message": "x" * size}}
            assert (await deliver(webhooks.http, payload, delivery=commit)).status_code == 202
    assert [(await webhooks.coordinator.take()).commit for _ in range(3)] == [A, B, C]


async def test_what_tells_of_many_refs_is_judged_alone(webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what tells of more than are taken at once is left to the sweep."""
    monkeypatch.setattr(judging, "PUSHES_MOST", 2)
    monkeypatch.setattr(reading, "REFS_MOST", 3)
    webhooks.api.connect("bb", forge="bitbucket")
    async with undecided(_dsn(webhooks)):
        await deliver(webhooks.http, push(A))
        for count in (3, 2, 4):
            body = json.dumps(_pushed(count)).encode()
            headers = {"X-Event-Key": "repo:push", "X-Request-UUID": f"d-{count}", "X-Hub-Signature": signed(body, SECRET)}
            assert (await webhooks.http.post("/hooks/bb", content=body, headers=headers)).status_code == (200 if count == 4 else 202)
    assert [(await webhooks.coordinator.take()).ref for _ in range(6)][1:] == [f"refs/heads/{of}-{n}" for of in (3, 2) for n in range(of)]
    shown = {page.key: page.reason for page in await Deliveries(webhooks.pool).newest("main", "bb", "", 10)}
    assert str(shown["d-4"]).startswith("it tells of 4 refs, more than are taken at once")


def _pushed(count: int) -> dict[str, Any]:
    """So many branches in one delivery."""
    _, payload = delivery("bitbucket", "push")
    (change,) = payload["push"]["changes"][:1]
    payload["push"]["changes"] = [change | {"new": change["new"] | {"name": f"{count}-{number}"}} for number in range(count)]
    return dict(payload)


async def test_what_cannot_be_read_just_now_is_read_later(webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its reading took too long, twice: it was taken, and is not given up for that."""
    monkeypatch.setattr(intake, "MANY", 0)
    monkeypatch.setattr(judging, "PAUSE_S", 0.01)
    real, tries = Reader.read, []

    async def read(reader: Reader, forge: str, headers: Headers, body: bytes, patience_s: float) -> Reading:
        tries.append(patience_s)
        if len(tries) <= 2:
            raise busy("The delivery could not be read.")
        return await real(reader, forge, headers, body)

    monkeypatch.setattr(Reader, "read", read)
    assert (await deliver(webhooks.http, push(A))).status_code == 202
    assert (await webhooks.coordinator.take()).commit == A
    assert tries == [judging.READING_S] * 3


async def test_what_can_never_be_read_is_given_up_and_keeps_no_other(webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands with its reason, and is judged once it is read again by hand."""
    monkeypatch.setattr(intake, "MANY", 0)
    monkeypatch.setattr(judging, "PAUSE_S", 0.01)
    real = Reader.read

    async def read(reader: Reader, forge: str, headers: Headers, body: bytes, patience_s: float) -> Reading:
        if A.encode() in body:
            raise busy("The delivery could not be read.")
        return await real(reader, forge, headers, body, patience_s)

    monkeypatch.setattr(Reader, "read", read)
    async with undecided(_dsn(webhooks)):
        for commit in (B, A, C):
            assert (await deliver(webhooks.http, push(commit, ref=f"refs/heads/{commit[0]}"), delivery=commit[0])).status_code == 202
    assert [(await webhooks.coordinator.take()).commit for _ in range(2)] == [B, C]
    shown = {page.key: page.reason for page in await Deliveries(webhooks.pool).newest("main", "gh", "", 10)}
    assert shown == {"b": None, "a": "it could not be read in time. The log of webhooks says more", "c": None}


async def test_what_another_replica_has_judged_is_not_given_up(webhooks: Webhooks) -> None:
    """Both failed at it, and one of them tried once more."""
    store = Store(webhooks.pool, Outbox("webhooks"))
    judged = (await deliver(webhooks.http, push(A), delivery="judged")).json()["delivery"]
    assert (await webhooks.coordinator.take()).delivery == judged
    async with undecided(_dsn(webhooks)):
        answer = await deliver(webhooks.http, push(B), delivery="waits")
        await store.give_up(judged, "it could not be judged")
    assert (await webhooks.coordinator.take()).delivery == answer.json()["delivery"]
    shown = await Deliveries(webhooks.pool).newest("main", "gh", "", 10)
    assert [page.reason for page in shown] == [None, None]


async def test_what_cannot_be_judged_is_given_up_and_keeps_no_other(webhooks: Webhooks) -> None:
    """The database refuses one of three: it is shown with its reason."""
    await webhooks.pool.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;"
        "CREATE TRIGGER refuse BEFORE INSERT ON changes FOR EACH ROW WHEN (NEW.ref = 'refs/heads/bad') EXECUTE FUNCTION refuse()"
    )
    async with undecided(_dsn(webhooks)):
        names = ("one", "bad", "other")
        sent = await asyncio.gather(*(deliver(webhooks.http, push(A, ref=f"refs/heads/{name}"), delivery=name) for name in names))
        assert {answer.status_code for answer in sent} == {202}
    assert {(await webhooks.coordinator.take()).ref for _ in range(2)} == {"refs/heads/one", "refs/heads/other"}

    async def given_up() -> bool:
        return await _waiting(webhooks) == 0

    await eventually(given_up)
    shown = {page.key: page.reason for page in await Deliveries(webhooks.pool).newest("main", "gh", "", 10)}
    assert shown == {"one": None, "other": None, "bad": "it could not be judged: RaiseError. The log of webhooks says more"}


async def test_what_was_not_judged_before_a_restart_is_judged_after_it(running: Running, api: Api, postgres_dsn: str) -> None:
    """It is read once more. Of a connection that is gone, or another project's now, it leads to nothing."""
    for name in ("left", "moved"):
        api.connect(name)
    async with undecided(postgres_dsn), running() as first:
        for name in ("left", "moved", "gh"):
            assert (await deliver(first.http, push(A), to=name)).status_code == 202
        await first.pool.execute("DELETE FROM connections WHERE name = 'left'")
        await first.pool.execute("UPDATE connections SET project = 'shop' WHERE name = 'moved'")
        del api.connections["left"]
        api.connect("moved", project="shop")
    async with running() as second:
        change = await second.coordinator.take()
        reasons = await second.pool.fetch("SELECT connection, reason FROM deliveries ORDER BY connection")
    assert (change.connection, change.commit, change.pusher.login) == ("gh", A, "Codertocat")
    assert [tuple(row) for row in reasons] == [("gh", None), ("left", "its connection is gone"), ("moved", "its connection is gone")]


async def test_deliveries_that_arrive_together_are_all_judged(webhooks: Webhooks) -> None:
    """Two hundred at once, of which few are told what became of them: each becomes its change, with its own arrival number."""
    answers = await asyncio.gather(
        *(deliver(webhooks.http, push(A, ref=f"refs/heads/b{number}"), delivery=f"d-{number}") for number in range(TOGETHER))
    )
    assert {answer.status_code for answer in answers} == {202}

    async def judged() -> bool:
        return bool(await webhooks.pool.fetchval("SELECT count(DISTINCT arrival) FROM changes") == TOGETHER)

    await eventually(judged)


async def test_two_replicas_judge_each_delivery_once(running: Running) -> None:
    """Whichever stored it."""
    async with running() as one, running() as other:
        sent = [
            deliver((one, other)[number % 2].http, push(A, ref=f"refs/heads/b{number}"), delivery=f"d-{number}")
            for number in range(TOGETHER)
        ]
        assert {answer.status_code for answer in await asyncio.gather(*sent)} == {202}

        async def judged() -> bool:
            return await _waiting(one) == 0

        await eventually(judged)
        assert await one.pool.fetchval("SELECT count(*) FROM changes") == TOGETHER
        assert await one.pool.fetchval("SELECT count(*) FROM deliveries WHERE reason IS NULL") == TOGETHER
