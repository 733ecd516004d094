"""Requests from a process of its own, keep-alive and new connections mixed: `python load.py <port> <host> <ca> <rate>` until its input ends.

On its last line: one JSON object with `requests` and `failed`.
"""

import asyncio
import json
import ssl
import sys
import time
from collections import Counter

import httpx

_WORKERS = 16


async def main(port: int, host: str, authority: str, rate: float) -> None:
    """Sends until the standard input is closed."""
    context = ssl.create_default_context(cafile=authority)
    counts: Counter[str] = Counter()
    stop = asyncio.Event()
    workers = [
        asyncio.create_task(_send(port, host, context, _WORKERS / rate, number % 2 == 0, counts, stop)) for number in range(_WORKERS)
    ]
    print("started", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    stop.set()
    await asyncio.gather(*workers)
    failed = {name: number for name, number in counts.items() if not name.startswith("200")}
    print(json.dumps({"requests": counts.total(), "failed": sum(failed.values()), "kinds": failed}))


async def _send(
    port: int, host: str, context: ssl.SSLContext, every: float, keep_alive: bool, counts: Counter[str], stop: asyncio.Event
) -> None:
    limits = httpx.Limits(max_keepalive_connections=1 if keep_alive else 0)
    async with httpx.AsyncClient(verify=context, limits=limits, timeout=10, trust_env=False) as client:
        while not stop.is_set():
            began = time.monotonic()
            try:
                answer = await client.get(f"https://127.0.0.1:{port}/", headers={"Host": host}, extensions={"sni_hostname": host})
                counts[f"{answer.status_code}"] += 1
            except httpx.TransportError as error:
                counts[repr(error)] += 1
            await asyncio.sleep(max(0.0, every - (time.monotonic() - began)))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4])))
