"""api, as far as webhooks asks for it, in a process of its own: a catalogue of one connection. It prints its address and serves until it is ended."""

import asyncio
import sys
from pathlib import Path

from bench.hook import REPOSITORY
from shared.rpc import server
from tests.component.webhooks.neighbours import Api


async def main(tls: Path, connection: str, secret: str) -> None:
    """Serves for ever."""
    api = Api()  # type: ignore[abstract]
    identity = f"github.com/{REPOSITORY}"
    api.connect(connection, secrets=(secret,), repository=identity, clone_url=f"https://{identity}.git")
    async with server("127.0.0.1:0", tls, "api", api.register) as port:
        print(f"127.0.0.1:{port}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:4]))
