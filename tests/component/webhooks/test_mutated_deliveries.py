"""Whatever a signed delivery holds, intake answers, and never with a server error."""

import copy
import json
import random
from typing import Any

import pytest

from services.webhooks.forges import FORGES
from tests.component.webhooks.conftest import Webhooks
from tests.component.webhooks.deliveries import SECRET, A, deliver, example, push
from tests.component.webhooks.forge_deliveries import SIGNED
from tests.unit.webhooks.forge_cases import CASES, delivery

ODD: list[Any] = [
    None, True, False, 0, -1, 2**70, 1e308, "", "x", "\x00", "\ud800", "\udfff\ud800", "🚀" * 300, "0" * 40, "f" * 64, "refs/heads/\x00", "refs/heads/\ud800",
    "refs/tags/" + "ü" * 2000, [], [[]], {}, {"id": None}, ["\x00"], "a\nb\r\tc\x1b[0m", "https://[", "' OR 1=1 --", "%00", "../../x", 10**400,
]  # fmt: skip


def _mutated(source: random.Random, payload: Any) -> Any:
    """The payload with one to four of its values replaced, removed, or moved."""
    payload = copy.deepcopy(payload)
    for _ in range(source.randint(1, 4)):
        place: Any = payload
        while True:
            key = source.choice(range(len(place)) if isinstance(place, list) else sorted(place))
            if isinstance(place[key], (dict, list)) and place[key] and source.random() < 0.6:
                place = place[key]
                continue
            if source.random() < 0.2 and len(place) > 1:
                del place[key]
            else:
                place[key] = copy.deepcopy(source.choice(ODD))
            break
    return payload


async def test_no_mutation_of_a_payload_gives_a_server_error(webhooks: Webhooks) -> None:
    """Four hundred mutated payloads, signed; each is stored or refused, and the next good one is stored."""
    source = random.Random(20261125)
    pushes = [example("push-branch-created"), example("push-tag-deleted"), push(A, ref="refs/tags/v1")]
    for number in range(400):
        payload = _mutated(source, source.choice(pushes))
        answer = await deliver(webhooks.http, payload, delivery=f"m-{number}")
        assert answer.status_code in (202, 400), (answer.status_code, answer.text, json.dumps(payload)[:500])
    assert (await deliver(webhooks.http, push("d" * 40), delivery="good")).status_code == 202


@pytest.mark.parametrize("forge", [forge for forge in FORGES if forge != "github"])
async def test_no_mutation_of_another_forges_payload_gives_a_server_error(webhooks: Webhooks, forge: str) -> None:
    """A hundred mutated deliveries of every kind that the forge sends."""
    webhooks.api.connect(forge, forge=forge)
    source = random.Random(20261125)
    files = [case.file for cases in CASES.values() for case in cases if case.forge == forge]
    for number in range(100):
        headers, payload = delivery(forge, source.choice(files))
        payload = _mutated(source, payload)
        body = json.dumps(payload).encode()
        key = {name: f"m-{number}" for name in headers if name.endswith(("-Key", "-UUID", "-Id", "-Delivery")) and "Event" not in name}
        answer = await webhooks.http.post(f"/hooks/{forge}", content=body, headers=headers | key | SIGNED[forge](body, SECRET))
        assert answer.status_code in (200, 202, 400), (answer.status_code, answer.text, json.dumps(payload)[:500])
    assert await webhooks.pool.fetchval("SELECT count(*) FROM deliveries") == 100


async def test_no_damage_to_the_bytes_gives_a_server_error(webhooks: Webhooks) -> None:
    """Cut off, flipped, doubled, in another encoding."""
    source = random.Random(7)
    body = json.dumps(push(A)).encode()
    damaged = [body[: source.randrange(len(body))] for _ in range(40)]
    damaged += [bytes(byte ^ (source.random() < 0.003) for byte in body) for _ in range(40)]
    damaged += [body + body, body.decode().encode("utf-16"), b"\xef\xbb\xbf" + body, b"[" * 200_000, b"\xff" * 100]
    for number, one in enumerate(damaged):
        answer = await deliver(webhooks.http, one, delivery=f"b-{number}")
        assert answer.status_code in (200, 202, 400), answer.text


async def test_odd_headers_give_no_server_error(webhooks: Webhooks) -> None:
    """Missing, empty, long, and not ASCII."""
    odd = ["", "x" * 5000, "ÿ", "push push"]
    for number, value in enumerate(odd):
        for name in ("X-GitHub-Event", "X-GitHub-Delivery", "X-GitHub-Hook-ID", "X-Hub-Signature-256", "Content-Type"):
            answer = await deliver(webhooks.http, push(A), delivery=f"h-{number}", headers={name: value})
            assert answer.status_code < 500, (name, value, answer.text)
