"""Sagas a second: five no-op steps, 50 sagas at a time, everything durable in PostgreSQL.

Slipway's real coordinator, bus and outbox with a no-op participant; DBOS on the same PostgreSQL; and a minimal
hand-made loop on nats-py with the same messages and statements. In turn in one run; medians over rounds.

Prints one JSON object on its last line: sagas_per_s, dbos_per_s, handmade_per_s, and their ratios.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import uvloop

from bench import dbos_side, handmade_side, slipway_side
from shared import topology
from tests.stack import migrated, nats_server, postgres_server

AT_ONCE = 50


async def _declare(url: str) -> None:
    import nats

    client = await nats.connect(url, user="admin", password="test")
    js = client.jetstream()
    await topology.declare(js)
    for durable in topology.durables():
        if durable.name == "local-deployer-effects":  # no-op workers take as much as comes, for both sides
            await js.add_consumer(durable.stream, replace(durable, max_ack_pending=1000).config())
    await client.close()


async def _forget(dsn: str) -> None:
    """A relay that starts sends the last minutes' events again: not what is measured."""
    import asyncpg

    connection = await asyncpg.connect(dsn)
    await connection.execute("TRUNCATE coordinator.outbox, coordinator.inbox")
    await connection.close()


def main() -> None:
    """Runs all three in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sagas", type=int, default=400, help="sagas a round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    found: dict[str, list[float]] = {"slipway": [], "handmade": [], "dbos": []}
    with nats_server() as bus, postgres_server(durable=True) as postgres:
        dsn = postgres.dsn()
        asyncio.run(_declare(bus.url))
        asyncio.run(migrated(dsn, "coordinator"))
        participant = subprocess.Popen([sys.executable, "-m", "bench.participant", bus.url], env=os.environ | {"PYTHONPATH": "."})
        try:
            for _ in range(options.rounds):
                asyncio.run(_forget(dsn))
                found["slipway"].append(uvloop.run(slipway_side.measure(bus.url, dsn, options.sagas, AT_ONCE)))
                asyncio.run(_forget(dsn))
                found["handmade"].append(uvloop.run(handmade_side.measure(bus.url, dsn, options.sagas, AT_ONCE)))
                found["dbos"].append(dbos_side.measure(dsn, options.sagas // 4, AT_ONCE))
                print({name: [round(rate, 1) for rate in rates] for name, rates in found.items()}, file=sys.stderr)
        finally:
            participant.terminate()
            participant.wait()
    median = {name: statistics.median(rates) for name, rates in found.items()}
    print(
        json.dumps(
            {
                "sagas_per_s": round(median["slipway"], 1),
                "dbos_per_s": round(median["dbos"], 1),
                "handmade_per_s": round(median["handmade"], 1),
                "to_dbos": round(median["slipway"] / median["dbos"], 2),
                "to_handmade": round(median["slipway"] / median["handmade"], 2),
                "rounds": options.rounds,
                "sagas": options.sagas,
                "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            }
        )
    )


if __name__ == "__main__":
    main()
