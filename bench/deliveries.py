"""Signed deliveries from a process of its own: first as many as are taken, then twice as many.

It says a line when it has found the capacity, one when all is sent and answered, and its report on the last one.
"""

import argparse
import asyncio
import hashlib
import hmac
import json
import resource
import secrets
import statistics
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field

SENDERS = 64
MEASURED_S = 6.0
LIMIT_S = 30.0
OPEN_AT_MOST = 12_000
"""Requests without an answer; a sender that meets this limit has failed to send, and says so."""


@dataclass
class Sender:
    """One hook's deliveries, on connections kept alive."""

    port: int
    connection: str
    secret: str
    answers: Counter[str] = field(default_factory=Counter)
    keys: list[str] = field(default_factory=list)
    """Deliveries that were answered 202."""
    seconds: list[float] = field(default_factory=list)
    """What each answer took."""
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)

    async def one(self) -> None:
        """One delivery."""
        key, since = str(uuid.uuid4()), time.monotonic()
        try:
            async with asyncio.timeout(LIMIT_S):
                answer = await self._post(key)
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            answer = type(error).__name__
        self.answers[answer] += 1
        self.seconds.append(time.monotonic() - since)
        if answer == "202":
            self.keys.append(key)

    async def _post(self, key: str) -> str:
        """The status; of a 503 also whether it says when to come again."""
        reader, writer = self.idle.pop() if self.idle else await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(self._request(key))
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = next(int(line.partition(":")[2]) for line in head.split("\r\n") if line.startswith("content-length:"))
            await reader.readexactly(length)
        except BaseException:
            writer.close()
            raise
        self.idle.append((reader, writer))
        status = head.split(" ", 2)[1]
        return f"503 {'with' if 'retry-after:' in head else 'without'} Retry-After" if status == "503" else status

    def _request(self, key: str) -> bytes:
        commit = secrets.token_hex(20)
        payload = {
            "ref": f"refs/heads/b{commit[:2]}",
            "before": "0" * 40,
            "after": commit,
            "repository": {"full_name": "acme/intake", "html_url": "https://github.com/acme/intake", "clone_url": ""},
            "head_commit": {"id": commit, "message": "Work", "author": {"name": "Ada"}},
            "pusher": {"name": "ada"},
            "sender": {"login": "ada", "id": 1},
            "padding": "x" * 8700,  # GitHub says more than we read: about 9 KB in all
        }
        body = json.dumps(payload).encode()
        signature = hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
        head = (
            f"POST /hooks/{self.connection} HTTP/1.1\r\nHost: slipway\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            f"X-GitHub-Event: push\r\nX-GitHub-Delivery: {key}\r\nX-GitHub-Hook-ID: 1\r\nX-Hub-Signature-256: sha256={signature}\r\n\r\n"
        )
        return head.encode() + body


async def capacity(sender: Sender) -> float:
    """Deliveries taken a second while each of the senders waits for its answer."""
    until = time.monotonic() + MEASURED_S

    async def send() -> None:
        while time.monotonic() < until:
            await sender.one()

    await asyncio.gather(*(send() for _ in range(SENDERS)))
    return sender.answers["202"] / MEASURED_S


async def overload(sender: Sender, rate: float, seconds: float) -> float:
    """Sends at that rate, whatever the answers take; how many a second were sent in fact."""
    began, sent = time.monotonic(), 0
    tasks: set[asyncio.Task[None]] = set()
    while (now := time.monotonic() - began) < seconds:
        for _ in range(int(now * rate) - sent):
            sent += 1
            if len(tasks) >= OPEN_AT_MOST:
                sender.answers["not sent"] += 1
                continue
            task = asyncio.create_task(sender.one())
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.sleep(0.005)
    took = time.monotonic() - began
    if tasks:
        await asyncio.wait(tasks)
    return (sent - sender.answers["not sent"]) / took


async def run(sender: Sender, seconds: float) -> dict[str, object]:
    """Both, and the report."""
    found = await capacity(sender)
    print(json.dumps({"capacity_per_s": round(found, 1)}), flush=True)
    first = Counter(sender.answers)
    sender.seconds.clear()
    sent = await overload(sender, 2 * found, seconds)
    print(json.dumps({"answered": len(sender.seconds)}), flush=True)
    refused = sender.answers["503 with Retry-After"]
    taken = sender.answers["202"]
    unsent = sender.answers["not sent"]
    return {
        "capacity_per_s": round(found, 1),
        "sent_per_s": round(sent, 1),
        "taken": taken - first["202"],
        "refused": refused,
        "answer_median_s": round(statistics.median(sender.seconds), 2),
        "answer_worst_s": round(max(sender.seconds), 2),
        "not_sent": unsent,
        "other": sum(sender.answers.values()) - taken - refused - unsent,
        "answers": dict(sender.answers),
        "keys": sender.keys,
    }


def main() -> None:
    """Runs as the second process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("connection")
    parser.add_argument("secret")
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print(json.dumps(asyncio.run(run(Sender(options.port, options.connection, options.secret), options.seconds))))


if __name__ == "__main__":
    main()
