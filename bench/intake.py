"""Deliveries at twice the rate that the intake can take, for a minute.

A platform of its own is started. A second process finds how many signed deliveries a second are taken when each of 64
senders waits for its answer; then it sends twice as many, at a steady rate whatever the answers take. Every answer must be
202 or 503 with Retry-After; the memory of webhooks must not grow; and every delivery that was answered 202 must be in the
database with a change that is settled in the end. The deliveries are of branches that no environment follows.

Prints one JSON object on its last line: `capacity_per_s`, `sent_per_s`, `taken`, `refused`, `other` (to be 0),
`missing` (to be 0), `unsettled` (to be 0), `settled_s` (after the last delivery), `pss_first_mb`, `pss_last_mb`.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import asyncpg
import psutil

from bench.footprint import pss_mb
from bench.instance import Instance, running_instance

CONNECTION = "intake"
SETTLE_LIMIT_S = 600.0
GROWTH = 1.15
"""Memory counts as flat when its last quarter minute is below so many times its second."""


def _connect(instance: Instance) -> str:
    """A project with a hook; its secret."""
    with_api = instance.api()
    try:
        with_api.post("/projects/main", {"slug": "intake"})
        body = {"name": CONNECTION, "project": "intake", "forge": "github", "clone_url": "https://github.com/acme/intake.git"}
        return str(with_api.post("/connections/main", body)["secret"])
    finally:
        with_api.close()


def _webhooks(instance: Instance) -> psutil.Process:
    processes = json.loads((instance.home / "run" / "processes.json").read_text())
    return psutil.Process(next(found["pid"] for found in processes if found["name"] == "webhooks"))


def _dsn(instance: Instance) -> str:
    ports = json.loads((instance.home / "run" / "ports.json").read_text())
    password = json.loads((instance.home / "keys" / "postgres.json").read_text())["postgres"]
    return f"postgresql://postgres:{password}@127.0.0.1:{ports['postgres']}/slipway"


async def _books(dsn: str, taken: list[str]) -> tuple[int, int, float]:
    """How many of the taken are missing, how many changes stay unsettled, and after how many seconds all were."""
    connection = await asyncpg.connect(dsn)
    began = time.monotonic()
    try:
        rows = await connection.fetch("SELECT key FROM webhooks.deliveries WHERE connection = $1", CONNECTION)
        missing = len(set(taken) - {row["key"] for row in rows})
        while True:
            unsettled = int(await connection.fetchval("SELECT count(*) FROM webhooks.changes WHERE state = 'pending'"))
            if unsettled == 0 or time.monotonic() - began > SETTLE_LIMIT_S:
                return missing, unsettled, round(time.monotonic() - began, 1)
            await asyncio.sleep(0.5)
    finally:
        await connection.close()


def _send(instance: Instance, secret: str, seconds: float) -> tuple[dict[str, object], list[float]]:
    """What the second process reports, and the memory of webhooks each second meanwhile (MB)."""
    command = [sys.executable, "-m", "bench.deliveries", str(instance.http_port), CONNECTION, secret, f"--seconds={seconds}"]
    memory, webhooks = [], _webhooks(instance)
    with subprocess.Popen(command, cwd=ROOT, env=instance.environment, stdout=subprocess.PIPE, text=True) as sender:
        assert sender.stdout is not None
        sender.stdout.readline()  # it has found the capacity
        while sender.poll() is None:
            memory.append(pss_mb(webhooks))
            time.sleep(1.0)
            if len(memory) > seconds:
                break
        report: dict[str, object] = json.loads(sender.stdout.readline())
    return report, memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    with running_instance() as instance:
        report, memory = _send(instance, _connect(instance), options.seconds)
        taken = report.pop("keys")
        assert isinstance(taken, list)
        missing, unsettled, settled_s = asyncio.run(_books(_dsn(instance), taken))
    quarter = len(memory) // 4
    first, last = max(memory[quarter : 2 * quarter]), max(memory[-quarter:])
    found = {**report, "missing": missing, "unsettled": unsettled, "settled_s": settled_s}
    print(json.dumps({**found, "pss_first_mb": round(first, 1), "pss_last_mb": round(last, 1)}))
    if report["other"] or missing or unsettled or last > first * GROWTH:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
