"""Steady requests from a process of its own, until its standard input is closed; then one JSON object on standard output.

The rate holds whatever the answers take: every tick sends a request, on a connection kept alive or, one in four, on a
new one. A request has failed when it has no good answer: no connection, no TLS, a broken or late answer, a status other
than 200. Nothing is sent a second time.
"""

import argparse
import asyncio
import json
import ssl
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import count

NEW_EVERY = 4
LIMIT_S = 15.0
PATHS = ("/api/version", "/api/version", "/api/todos", "/api/version", "/healthz")
_KEPT_FAILURES = 20


@dataclass
class Connection:
    """One TLS connection to the load balancer."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def get(self, host: str, path: str) -> bytes:
        """The body of a good answer; raises `OSError` or `ValueError` for everything else."""
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: slipway-bench\r\n\r\n".encode())
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        status = head[0].split(" ", 2)[1]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        body = await self.reader.readexactly(int(headers["content-length"]))
        if status != "200":
            raise ValueError(f"status {status}: {body[:120]!r}")
        return body


@dataclass
class Load:
    """What was sent and what became of it."""

    host: str
    port: int
    context: ssl.SSLContext
    idle: list[Connection] = field(default_factory=list)
    sent: Counter[str] = field(default_factory=Counter)
    failures: list[dict[str, object]] = field(default_factory=list)
    failed: int = 0
    seconds: list[float] = field(default_factory=list)
    versions: Counter[str] = field(default_factory=Counter)

    async def one(self, number: int) -> None:
        """One request."""
        kind = "new" if number % NEW_EVERY == 0 else "kept"
        path = PATHS[number % len(PATHS)]
        since, at = time.perf_counter(), time.time()
        try:
            async with asyncio.timeout(LIMIT_S):
                body = await (self._on_a_new(path) if kind == "new" else self._on_a_kept(path))
        except (OSError, EOFError, ValueError, LookupError, asyncio.LimitOverrunError) as error:
            self.failed += 1
            if len(self.failures) < _KEPT_FAILURES:
                self.failures.append({"at": at, "kind": kind, "path": path, "error": repr(error)[:300]})
        else:
            if path == "/api/version":
                self.versions[str(json.loads(body)["version"])] += 1
        self.sent[kind] += 1
        self.seconds.append(time.perf_counter() - since)

    async def _on_a_new(self, path: str) -> bytes:
        connection = await self._connect()
        try:
            return await connection.get(self.host, path)
        finally:
            connection.writer.close()

    async def _on_a_kept(self, path: str) -> bytes:
        connection = self._idle() or await self._connect()
        try:
            body = await connection.get(self.host, path)
        except BaseException:
            connection.writer.close()
            raise
        self.idle.append(connection)
        return body

    def _idle(self) -> Connection | None:
        """One that is open still: the load balancer closes those that were idle for three minutes, as every client has to expect."""
        while self.idle:
            connection = self.idle.pop()
            if not connection.reader.at_eof():
                return connection
            connection.writer.close()
        return None

    async def _connect(self) -> Connection:
        return Connection(*await asyncio.open_connection("127.0.0.1", self.port, ssl=self.context, server_hostname=self.host))

    def report(self, took_s: float) -> dict[str, object]:
        """Numbers for the driving process."""
        ordered = sorted(self.seconds) or [0.0]
        return {
            "requests": sum(self.sent.values()),
            "kept": self.sent["kept"],
            "new": self.sent["new"],
            "failed": self.failed,
            "failures": self.failures,
            "per_s": round(sum(self.sent.values()) / took_s, 1),
            "p50_ms": round(statistics.median(ordered) * 1000, 1),
            "p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1000, 1),
            "worst_ms": round(ordered[-1] * 1000, 1),
            "versions": len(self.versions),
        }


async def run(load: Load, rate: float) -> dict[str, object]:
    """Sends until standard input ends, then waits for the last answers. Says each second on standard error how many were sent."""
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    began = time.perf_counter()
    open_requests: set[asyncio.Task[None]] = set()
    told = began
    for number in count():
        wait = began + number / rate - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        if ended.done():
            break
        task = asyncio.create_task(load.one(number))
        open_requests.add(task)
        task.add_done_callback(open_requests.discard)
        if time.perf_counter() - told >= 1:
            told = time.perf_counter()
            print(sum(load.sent.values()), load.failed, file=sys.stderr, flush=True)
    took = time.perf_counter() - began
    if open_requests:
        await asyncio.wait(open_requests)
    for connection in load.idle:
        connection.writer.close()
    return load.report(took)


def main() -> None:
    """Runs as the second process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("authority", help="the file with the CA's certificate")
    parser.add_argument("--rate", type=float, default=220.0, help="requests a second")
    options = parser.parse_args()
    context = ssl.create_default_context(cafile=options.authority)
    print(json.dumps(asyncio.run(run(Load(options.host, options.port, context), options.rate))))


if __name__ == "__main__":
    main()
