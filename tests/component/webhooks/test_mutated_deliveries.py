"""Whatever a signed delivery holds, intake answers, and never with a server error."""

import asyncio
import copy
import gc
import json
import math
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from services.webhooks.forges import FORGES
from shared.health import HEAD_MOST
from tests.component.webhooks.conftest import Webhooks
from tests.component.webhooks.deliveries import SECRET, A, deliver, push
from tests.component.webhooks.forge_deliveries import SIGNED
from tests.polling import eventually
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


@pytest.mark.parametrize("forge", FORGES)
async def test_no_mutation_of_a_payload_gives_a_server_error(webhooks: Webhooks, forge: str) -> None:
    """A hundred mutated deliveries of all kinds that the forge sends, signed: each is stored, and so is the next good one."""
    webhooks.api.connect(forge, forge=forge)
    source = random.Random(20261125)
    files = [case.file for cases in CASES.values() for case in cases if case.forge == forge]
    for number in range(100):
        headers, payload = delivery(forge, source.choice(files))
        payload = _mutated(source, payload)
        answer = await _deliver(webhooks, forge, headers, json.dumps(payload).encode(), number)
        assert answer.status_code in (200, 202, 400), (answer.status_code, answer.text, json.dumps(payload)[:500])
    headers, payload = delivery(forge, "push")
    assert (await _deliver(webhooks, forge, headers, json.dumps(payload).encode(), 100)).status_code == 202
    assert await webhooks.pool.fetchval("SELECT count(*) FROM deliveries") == 101


BESIDE: dict[str, bytes] = {
    "nothing odd": b'"%s"' % (b"x" * 200_000),
    "invalid UTF-8": b'"\xff\xfe\xc3("',
    "overlong UTF-8": b'"\xc0\x80\xed\xa0\x80"',
    "lone surrogates": b'["\\ud800", "\\udc00\\ud800"]',
    "NUL": b'"\\u0000"',
    "deep nesting": b"[" * 200 + b"]" * 200,
    "very deep nesting": b"[" * 100_000 + b"]" * 100_000,
    "objects in objects": b'{"a":' * 30_000 + b"1" + b"}" * 30_000,
    "a huge number": b"9" * 200_000,
    "a huge fraction": b"0." + b"9" * 200_000,
    "a huge exponent": b"1e999999999",
    "no number": b"[NaN, Infinity, -Infinity]",
    "many values": b"[%s 0]" % (b"{}," * 60_000),
    "many keys": b"{%s}" % b",".join(b'"%d":0' % number for number in range(20_000)),
    "the same key again": b'1, "beside": {"a": 1, "a": 2}',
}
"""What may stand in a payload besides what is read: name and JSON, or nearly."""
TRIES = 3
"""What holds the loop holds it each time."""
REFUSED = {"invalid UTF-8", "overlong UTF-8", "very deep nesting", "objects in objects", "a huge number"}


@pytest.mark.parametrize("forge", FORGES)
async def test_whatever_stands_beside_what_is_read_keeps_nobody_waiting(webhooks: Webhooks, forge: str) -> None:
    """What is JSON is taken, what is none is refused and stored; the event loop is held no longer than by a plain text of that size."""
    webhooks.api.connect(forge, forge=forge)
    headers, payload = delivery(forge, "push")
    body = json.dumps(payload).encode()
    held = dict.fromkeys(BESIDE, math.inf)
    for number, name in enumerate([*BESIDE] * TRIES):
        odd = b'{"beside": ' + BESIDE[name] + b", " + body[1:]
        async with _beating() as beats:
            answer = await _deliver(webhooks, forge, headers, odd, number)
        assert answer.status_code in ({400} if name in REFUSED else {202, 200}), (name, answer.text)
        held[name] = min(held[name], max(beats))
    assert await webhooks.pool.fetchval("SELECT count(*) FROM deliveries") == len(BESIDE) * TRIES
    assert max(held.values()) < 3 * held["nothing odd"] + 0.1, held


async def _deliver(webhooks: Webhooks, forge: str, headers: dict[str, str], body: bytes, number: int) -> httpx.Response:
    """Under an id of its own."""
    key = {name: f"m-{number}" for name in headers if name.endswith(("-Key", "-UUID", "-Id", "-Delivery")) and "Event" not in name}
    return await webhooks.http.post(f"/hooks/{forge}", content=body, headers=headers | key | SIGNED[forge](body, SECRET))


@asynccontextmanager
async def _beating() -> AsyncIterator[list[float]]:
    """How long the event loop was held each time that it was, in seconds of this thread's processor time: other programs do not count."""
    beats: list[float] = []

    async def beat() -> None:
        while True:
            since = time.thread_time()
            await asyncio.sleep(0)
            beats.append(time.thread_time() - since)

    beating = asyncio.create_task(beat())
    gc.disable()  # a collection takes long among all that the tests have imported
    try:
        yield beats
    finally:
        gc.enable()
        beating.cancel()


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


async def test_a_head_without_end_is_cut_off(webhooks: Webhooks) -> None:
    """Nothing of it is kept beyond 64 KB."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(webhooks.url.rpartition(":")[2]))
    writer.write(b"POST /hooks/gh HTTP/1.1\r\nHost: slipway\r\nX-Long: " + b"x" * HEAD_MOST)
    async with asyncio.timeout(30):
        assert (await reader.readline()).startswith(b"HTTP/1.1 400")
        await reader.read()
    writer.close()


async def test_odd_headers_give_no_server_error(webhooks: Webhooks) -> None:
    """Missing, empty, long, and not ASCII."""
    odd = ["", "x" * 5000, "ÿ", "push push"]
    for number, value in enumerate(odd):
        for name in ("X-GitHub-Event", "X-GitHub-Delivery", "X-GitHub-Hook-ID", "X-Hub-Signature-256", "Content-Type"):
            answer = await deliver(webhooks.http, push(A), delivery=f"h-{number}", headers={name: value})
            assert answer.status_code < 500, (name, value, answer.text)


async def test_odd_addresses_give_no_server_error(webhooks: Webhooks) -> None:
    """What can be no name of a connection is none, and nobody is asked."""

    async def has_what_there_is() -> bool:
        return webhooks.api.asked == 1

    await eventually(has_what_there_is)
    for name in ("a%00b", "%ff", "%ed%a0%80", "a%0ab", "x" * 3000):
        assert (await deliver(webhooks.http, push(A), to=name)).status_code == 404, name
    assert webhooks.api.asked == 1
