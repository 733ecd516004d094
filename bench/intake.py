"""Deliveries a second: signed pushes of GitHub of 9 KB on 64 connections, each waiting for its answer 202, one worker process.

Three sides in turn, each a process of its own with the same server (uvicorn on uvloop): webhooks as it runs, which has a delivery
durable in PostgreSQL before it answers, and makes a change of it and publishes that besides and afterwards; an application that
verifies the signature, publishes the body to JetStream and answers once that is acknowledged; and one that reads the body and answers.
They are asked directly, not through the front door. The server holds each answer back for 20 ms after the body's end
(`shared.exchange`): 64 connections get no more than 3200 answers a second of any side. Medians over rounds.

Prints one JSON object on its last line:
- `slipway_per_s` (at least 0.8 of the next), `publish_only_per_s`, `bare_per_s`, `to_publish_only`;
- `p50_ms` and `p99_ms` (at most 50) of webhooks' answers at that load;
- `published_s`: how long after the last answer of a round the last message was published; `to_end_per_s`: deliveries a second from the
  first request until then;
- `processor_us`: microseconds of processor time a delivery, by side and program, the sender's among them;
- to be 0: `missing`, deliveries that were answered 202 and are not in the database with a change; `other`, answers that are no 202.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import asyncpg
import nats

from bench.intake_sides import STREAM
from bench.processor_time import Programs
from embedded import authority
from embedded.home import Home
from shared import topology
from tests.stack import free_port, migrated, nats_server, postgres_server

CONNECTION, SECRET = "gh", "geheim"
START_LIMIT_S = 30.0
PUBLISH_LIMIT_S = 120.0

_MISSING = """
SELECT count(*) FROM unnest($1::text[]) AS key WHERE NOT EXISTS (
    SELECT FROM webhooks.deliveries d JOIN webhooks.changes c ON c.delivery = d.id WHERE d.connection = $2 AND d.key = key)
"""
_UNPUBLISHED = "SELECT EXISTS (SELECT FROM webhooks.backlog) OR EXISTS (SELECT FROM webhooks.outbox WHERE sent_at IS NULL)"
_FORGET = "TRUNCATE webhooks.deliveries, webhooks.changes, webhooks.heads, webhooks.outbox"


@dataclass
class Side:
    """One server, and what was measured of it."""

    port: int
    programs: Programs
    per_s: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    to_end_per_s: list[float] = field(default_factory=list)
    processor_us: list[dict[str, float]] = field(default_factory=list)
    other: int = 0
    """Answers that were no 202."""

    def ask(self, seconds: float) -> list[str]:
        """One round; the deliveries that were answered 202."""
        command = [sys.executable, "-m", "bench.deliveries", str(self.port), CONNECTION, SECRET, f"--seconds={seconds}", "--capacity"]
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as sender:
            assert sender.stdin is not None
            assert sender.stdout is not None
            sender.stdout.readline()
            with self.programs.measured() as processor_s:
                sender.stdin.write("go\n")
                sender.stdin.flush()
                report = json.loads(sender.stdout.readline())
        self.per_s.append(report["per_s"])
        self.p50_ms.append(report["p50_ms"])
        self.p99_ms.append(report["p99_ms"])
        self.other += sum(report["answers"].values()) - report["answers"].get("202", 0)
        keys: list[str] = report["keys"]
        processor_s["sender"] = report["processor_s"]
        self.processor_us.append({name: seconds / len(keys) * 1e6 for name, seconds in processor_s.items()})
        return keys

    def forget(self) -> None:
        """The rounds until now do not count."""
        for found in (self.per_s, self.p50_ms, self.p99_ms, self.to_end_per_s, self.processor_us):
            found.clear()

    @property
    def processor(self) -> dict[str, int]:
        """Medians of the microseconds, by program."""
        return {name: round(statistics.median(spent[name] for spent in self.processor_us)) for name in self.processor_us[0]}


@contextmanager
def _process(module: str, *arguments: str, log: Path, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SLIPWAY_")}
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT, env=inherited | environment, stdout=subprocess.PIPE, stderr=errors, text=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


@contextmanager
def _saying(module: str, *arguments: str, log: Path) -> Iterator[tuple[int, str]]:
    """A process, by its id, and the line that it prints once it serves."""
    with _process(module, *arguments, log=log) as process:
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        if not line:
            raise RuntimeError(f"{module} does not start:\n{log.read_text()[-3000:]}")
        yield process.pid, line


@contextmanager
def _webhooks(url: str, dsn: str, home: Home) -> Iterator[tuple[int, int]]:
    """The service as it runs, with a catalogue of one connection; its process and its port."""
    port, health, log = free_port(), free_port(), home.path / "webhooks.log"
    with _saying("bench.catalogue", str(home.tls), CONNECTION, SECRET, log=home.path / "catalogue.log") as (_, api):
        environment = {
            "HOME": str(home.path),
            "NATS_URL": url,
            "NATS_USER": "webhooks",
            "NATS_PASSWORD": "test",
            "POSTGRES_DSN": dsn,
            "HTTP_ADDRESS": f"127.0.0.1:{port}",
            "HEALTH_PORT": str(health),
            "API_ADDRESS": api,
            "AUTH_ADDRESS": api,
            "TLS_DIR": str(home.tls),
            "MASTER_KEY_FILE": str(home.keys / "master.key"),
            "CLONE_KEY_FILE": str(home.keys / "clone.key"),
            "SWEEP_S": "86400",
        }
        with _process("services.webhooks.app", log=log, **{f"SLIPWAY_{name}": value for name, value in environment.items()}) as process:
            _wait_until_ready(process, health, log)
            yield process.pid, port


def _wait_until_ready(process: "subprocess.Popen[str]", health: int, log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while True:
        with suppress(OSError), urlopen(f"http://127.0.0.1:{health}/readyz", timeout=5):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"webhooks does not start:\n{log.read_text()[-3000:]}")
        time.sleep(0.05)


async def _prepare(url: str, dsn: str) -> None:
    client = await nats.connect(url, user="admin", password="test")
    await topology.declare(client.jetstream())
    await client.jetstream().add_stream(name=STREAM, subjects=["intake.>"])
    await client.close()
    await migrated(dsn, "webhooks")


async def _settle(url: str, dsn: str, taken: list[str]) -> tuple[int, float]:
    """How many of the taken are missing, and the seconds until all was published. Then all of it is forgotten."""
    since = time.monotonic()
    connection = await asyncpg.connect(dsn)
    while await connection.fetchval(_UNPUBLISHED):
        if time.monotonic() - since > PUBLISH_LIMIT_S:
            raise TimeoutError("what was written is not published")
        await asyncio.sleep(0.02)
    published = time.monotonic() - since
    missing = int(await connection.fetchval(_MISSING, taken, CONNECTION))
    await connection.execute(_FORGET)
    await connection.execute("CHECKPOINT")
    await connection.close()
    client = await nats.connect(url, user="admin", password="test")
    for stream in ("CHANGES", STREAM):
        await client.jetstream().purge_stream(stream)
    await client.close()
    return missing, published


def measure(rounds: int, seconds: float) -> dict[str, object]:
    """The numbers."""
    missing, published = 0, list[float]()
    with ExitStack() as stack:
        bus, postgres = stack.enter_context(nats_server()), stack.enter_context(postgres_server(durable=True))
        home = Home.at(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slipway-bench-"))))
        home.prepare()
        authority.prepare(home, ("api", "webhooks"))
        asyncio.run(_prepare(bus.url, postgres.dsn()))
        beside = {
            name: stack.enter_context(_saying("bench.intake_sides", name, bus.url, SECRET, log=home.path / f"{name}.log"))
            for name in ("bare", "publish_only")
        }
        found = {name: (pid, int(port)) for name, (pid, port) in beside.items()}
        found["slipway"] = stack.enter_context(_webhooks(bus.url, postgres.dsn(), home))
        sides = {name: Side(port, Programs.beside(bus, postgres, pid)) for name, (pid, port) in found.items()}
        for number in range(rounds + 1):
            for side in sides.values():
                taken = side.ask(seconds)
                if side is sides["slipway"]:
                    lost, took = asyncio.run(_settle(bus.url, postgres.dsn(), taken))
                    missing += lost
                    published.append(took)
                    side.to_end_per_s.append(len(taken) / (len(taken) / side.per_s[-1] + took))
                if number == 0:  # what is made once is made
                    side.forget()
            print({name: [round(rate) for rate in side.per_s] for name, side in sides.items()}, file=sys.stderr)
    per_s = {name: statistics.median(side.per_s) for name, side in sides.items()}
    return {
        **{f"{name}_per_s": round(rate, 1) for name, rate in per_s.items()},
        "to_publish_only": round(per_s["slipway"] / per_s["publish_only"], 2),
        "p50_ms": round(statistics.median(sides["slipway"].p50_ms), 1),
        "p99_ms": round(statistics.median(sides["slipway"].p99_ms), 1),
        "published_s": round(statistics.median(published), 2),
        "to_end_per_s": round(statistics.median(sides["slipway"].to_end_per_s), 1),
        "processor_us": {name: side.processor for name, side in sides.items()},
        "missing": missing,
        "other": sum(side.other for side in sides.values()),
        "rounds": rounds,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def main() -> None:
    """Measures and prints; the status is 1 where a delivery is missing or was not taken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of one side in one round")
    options = parser.parse_args()
    report = measure(options.rounds, options.seconds)
    print(json.dumps(report))
    raise SystemExit(1 if report["missing"] or report["other"] else 0)


if __name__ == "__main__":
    main()
