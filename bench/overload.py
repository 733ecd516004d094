"""Deliveries at twice the rate that the intake can take, for a minute.

A platform of its own is started, and gets signed pushes of 9 KB through its front door (with `--direct`, at webhooks itself).
A second process finds how many a second are taken when each of 64 senders waits for its answer; then it sends twice as many,
at a steady rate whatever the answers take. Every answer must be 202, or 503 with Retry-After; the memory of webhooks and
of Traefik must not grow, and neither may die; every delivery that was answered 202 must be in the database with a change
that is settled in the end; and then a push is deployed as any other. The deliveries are of branches that no environment follows.

Prints one JSON object on its last line:
- `capacity_per_s`, `sent_per_s`; `taken` and `refused`; `answer_median_s` and `answer_worst_s` of the overload;
- to be 0: `other` (answers), `not_sent`, `missing` (of the taken, in the database), `unsettled` (of the taken, without a change that the
  coordinator has answered), `restarts` (of both);
- `webhooks_mb` and `traefik_mb`: proportional set size before, at most, and at the end of the overload;
- `settled_s`: when all changes were settled, after the last answer; `deployed_s`: what the first `slipway push` then took.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import asyncpg
import psutil

from bench.footprint import docker, pss_mb
from bench.instance import Instance, running_instance

CONNECTION = "intake"
SETTLE_LIMIT_S = 600.0
DEPLOY_LIMIT_S = 300.0
GROWTH = 1.15
"""Memory counts as flat when its last quarter is below so many times its second."""


class Memory:
    """Of one process, each second."""

    def __init__(self, pid: Callable[[], int]) -> None:
        self._pid = pid
        self._first = pid()
        self.seen = [self._now()]

    def look(self) -> None:
        """Once more."""
        self.seen.append(self._now())

    def _now(self) -> float:
        return pss_mb(psutil.Process(self._first)) if psutil.pid_exists(self._first) else 0.0

    @property
    def report(self) -> dict[str, float]:
        """MB."""
        return {"before": round(self.seen[0], 1), "most": round(max(self.seen), 1), "end": round(self.seen[-1], 1)}

    @property
    def grows(self) -> bool:
        """Whether the last quarter has more than the second."""
        quarter = len(self.seen) // 4
        return max(self.seen[-quarter:]) > max(self.seen[quarter : 2 * quarter]) * GROWTH

    @property
    def restarted(self) -> bool:
        """Whether another process is there now."""
        return self._pid() != self._first


def _webhooks(instance: Instance) -> int:
    processes = json.loads((instance.home / "run" / "processes.json").read_text())
    return next(int(found["pid"]) for found in processes if found["name"] == "webhooks")


def _traefik(instance: Instance) -> int:
    name = (instance.home / "instance").read_text().strip()
    return int(docker("inspect", "--format", "{{.State.Pid}}", f"{name}-traefik"))


def _connect(instance: Instance) -> str:
    """A project with a hook; its secret."""
    api = instance.api()
    try:
        api.post("/projects/main", {"slug": "intake"})
        body = {"name": CONNECTION, "project": "intake", "forge": "github", "clone_url": "https://github.com/acme/intake.git"}
        return str(api.post("/connections/main", body)["secret"])
    finally:
        api.close()


def _dsn(instance: Instance) -> str:
    password = json.loads((instance.home / "keys" / "postgres.json").read_text())["postgres"]
    return f"postgresql://postgres:{password}@127.0.0.1:{_port(instance, 'postgres')}/slipway"


def _port(instance: Instance, name: str) -> int:
    ports: dict[str, int] = json.loads((instance.home / "run" / "ports.json").read_text())
    return ports[name]


async def _missing(dsn: str, taken: list[str]) -> int:
    """How many of the taken are not in the database."""
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch("SELECT key FROM webhooks.deliveries WHERE connection = $1", CONNECTION)
    finally:
        await connection.close()
    return len(set(taken) - {row["key"] for row in rows})


_UNDER_WAY = "SELECT (SELECT count(*) FROM webhooks.backlog) + (SELECT count(*) FROM webhooks.changes WHERE state = 'pending')"
_SETTLED = """
SELECT d.key FROM webhooks.deliveries d JOIN webhooks.changes c ON c.delivery = d.id WHERE d.connection = $1 AND c.state <> 'pending'
"""


async def _unsettled(dsn: str, taken: list[str]) -> int:
    """How many of the taken have no settled change, once nothing is under way or the time is up."""
    connection = await asyncpg.connect(dsn)
    deadline = time.monotonic() + SETTLE_LIMIT_S
    try:
        while int(await connection.fetchval(_UNDER_WAY)) > 0 and time.monotonic() < deadline:
            await asyncio.sleep(0.5)
        return len(set(taken) - {row["key"] for row in await connection.fetch(_SETTLED, CONNECTION)})
    finally:
        await connection.close()


@contextmanager
def _watched(*watched: Memory) -> Iterator[None]:
    """Looks each second meanwhile."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(1.0):
            for memory in watched:
                memory.look()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _send(port: int, secret: str, seconds: float, *watched: Memory) -> dict[str, object]:
    """What the second process reports; memory is looked at during the overload."""
    command = [sys.executable, "-m", "bench.deliveries", str(port), CONNECTION, secret, f"--seconds={seconds}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as sender:
        assert sender.stdout is not None
        print(sender.stdout.readline().strip(), file=sys.stderr)  # it has found the capacity
        with _watched(*watched):
            sender.stdout.readline()  # it has sent all and has its answers
        report: dict[str, object] = json.loads(sender.stdout.readline())
    return report


def _deploy(instance: Instance) -> float:
    """Seconds that a first push takes, which must succeed."""
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder:
        checkout = instance.checkout(Path(folder))
        since = time.monotonic()
        instance.slipway("push", folder=checkout, limit_s=DEPLOY_LIMIT_S)
        return time.monotonic() - since


def measure(seconds: float, *, direct: bool) -> tuple[dict[str, object], bool]:
    """The numbers, and whether they are as they have to be."""
    with running_instance() as instance:
        secret, dsn = _connect(instance), _dsn(instance)
        webhooks, traefik = Memory(lambda: _webhooks(instance)), Memory(lambda: _traefik(instance))
        port = _port(instance, "webhooks-http") if direct else instance.http_port
        report = _send(port, secret, seconds, webhooks, traefik)
        ended = time.monotonic()
        taken = report.pop("keys")
        assert isinstance(taken, list)
        missing = asyncio.run(_missing(dsn, taken))
        print(json.dumps({**report, "missing": missing, "webhooks_mb": webhooks.report, "traefik_mb": traefik.report}), file=sys.stderr)
        unsettled = asyncio.run(_unsettled(dsn, taken))
        settled_s = time.monotonic() - ended
        deployed_s = _deploy(instance)
        restarts = sum(memory.restarted for memory in (webhooks, traefik))
    to_be_0: dict[str, object] = {"missing": missing, "unsettled": unsettled, "restarts": restarts}
    memory = {"webhooks_mb": webhooks.report, "traefik_mb": traefik.report}
    times = {"deployed_s": round(deployed_s, 1), "settled_s": round(settled_s, 1)}
    good = not any((report["other"], report["not_sent"], *to_be_0.values(), webhooks.grows, traefik.grows))
    return report | to_be_0 | memory | times | {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}, good


def main() -> None:
    """Measures and prints; the status is 1 where something is not as it has to be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--direct", action="store_true", help="past the front door")
    options = parser.parse_args()
    report, good = measure(options.seconds, direct=options.direct)
    print(json.dumps(report))
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
