"""Signed deliveries from a process of its own: first as many as are taken, then twice as many.

It says a line when it has found the capacity, one when all is sent and answered, and its report on the last one. With `--capacity`
the capacity is all: it says that it is ready, begins at a line on its standard input, and reports.
"""

import argparse
import asyncio
import json
import resource
import statistics
import sys
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field

import uvloop

from bench.hook import Hook, Line

SENDERS = 64
MEASURED_S = 30.0
"""Long enough that what was stored at first has to be judged meanwhile."""
LIMIT_S = 30.0
OPEN_AT_MOST = 12_000
"""Requests without an answer; a sender that meets this limit has failed to send, and says so."""


@dataclass
class Sender:
    """One hook's deliveries, on connections kept alive."""

    port: int
    hook: Hook
    answers: Counter[str] = field(default_factory=Counter)
    keys: list[str] = field(default_factory=list)
    """Deliveries that were answered 202."""
    seconds: list[float] = field(default_factory=list)
    """What each answer took."""
    idle: list[Line] = field(default_factory=list)

    async def one(self) -> None:
        """One delivery."""
        key = str(uuid.uuid4())
        request, since = self.hook.push(key), time.monotonic()
        try:
            async with asyncio.timeout(LIMIT_S):
                answer = await self._post(request)
        except (OSError, EOFError) as error:
            answer = type(error).__name__
        self.answers[answer] += 1
        self.seconds.append(time.monotonic() - since)
        if answer == "202":
            self.keys.append(key)

    async def _post(self, request: bytes) -> str:
        """The status; of a 503 also whether it says when to come again."""
        line = self.idle.pop() if self.idle else await Line.open(self.port)
        try:
            head = await line.post(request)
        except BaseException:
            line.close()
            raise
        self.idle.append(line)
        status = head.split(" ", 2)[1]
        return f"503 {'with' if 'retry-after:' in head.lower() else 'without'} Retry-After" if status == "503" else status


async def capacity(sender: Sender, seconds: float) -> float:
    """Deliveries taken a second while each of the senders waits for its answer."""
    began = time.monotonic()
    until = began + seconds

    async def send() -> None:
        while time.monotonic() < until:
            await sender.one()

    await asyncio.gather(*(send() for _ in range(SENDERS)))
    return sender.answers["202"] / (time.monotonic() - began)


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
    found = await capacity(sender, MEASURED_S)
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


async def only_capacity(sender: Sender, seconds: float) -> dict[str, object]:
    """That, and what the answers took. The connections are open before it begins."""
    sender.idle += [await Line.open(sender.port) for _ in range(SENDERS)]
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    spent = time.process_time()
    found = await capacity(sender, seconds)
    ordered = sorted(sender.seconds)
    return {
        "per_s": found,
        "p50_ms": statistics.median(ordered) * 1000,
        "p99_ms": ordered[int(len(ordered) * 0.99)] * 1000,
        "processor_s": time.process_time() - spent,
        "answers": dict(sender.answers),
        "keys": sender.keys,
    }


async def _tell(sender: Sender, seconds: float, *, only: bool) -> None:
    """Says the report. While the loop is there: once uvloop has ended, a part of what fills a pipe gets lost."""
    print(json.dumps(await (only_capacity if only else run)(sender, seconds)), flush=True)


def main() -> None:
    """Runs as the second process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("connection")
    parser.add_argument("secret")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--capacity", action="store_true", help="for so many seconds, and no overload")
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    sender = Sender(options.port, Hook(options.connection, options.secret))
    uvloop.run(_tell(sender, options.seconds, only=options.capacity))


if __name__ == "__main__":
    main()
