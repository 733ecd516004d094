"""webhooks beside a living api, behind a real Traefik that listens on one address for both, as `slipway up` has it."""

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import httpx
import yaml
from pydantic import SecretStr

from embedded.front_door import DELIVERIES_MOST, route_platform
from services.webhooks.app import assemble
from services.webhooks.settings import Settings
from shared.authorities import nobody
from shared.bus import Bus
from shared.process import Process
from tests.component.api.running import RunningApi
from tests.polling import eventually
from tests.stack import free_port, migrated, service_settings


@asynccontextmanager
async def front_door(api: RunningApi, nats_url: str, dsn: str) -> AsyncIterator[str]:
    """Starts webhooks and Traefik; yields the address of both."""
    await migrated(dsn, "webhooks")
    auth_address = api.settings.auth_address
    settings = service_settings(
        Settings,
        "webhooks",
        nats_url,
        postgres_dsn=SecretStr(dsn),
        home=api.home.path,
        tls_dir=api.home.tls,
        api_address=f"127.0.0.1:{api.opened.grpc_port}",
        auth_address=auth_address,
        master_key_file=api.home.keys / "master.key",
        clone_key_file=api.home.keys / "clone.key",
    )
    async with AsyncExitStack() as stack:
        bus = await Bus.connect(settings, "webhooks")
        stack.push_async_callback(bus.close)
        process = Process("webhooks", settings, bus, stack)
        port = await assemble(process, settings, await process.database(settings, "webhooks"))
        url = stack.enter_context(traefik(api.home.path, f"127.0.0.1:{port}", f"127.0.0.1:{api.opened.http_port}"))
        async with httpx.AsyncClient(verify=nobody()) as client:

            async def open_() -> bool:
                try:
                    return (await client.get(f"{url}/healthz")).status_code == httpx.codes.OK
                except httpx.TransportError:
                    return False

            await eventually(open_, within=20)
        yield url
        process.stop()
        await process.until_stopped()


@contextmanager
def traefik(folder: Path, webhooks: str, api: str, deliveries_most: int = DELIVERIES_MOST) -> Iterator[str]:
    """A Traefik with the platform's routes; yields its address, where it will answer in a moment."""
    dynamic, address = folder / "door", f"127.0.0.1:{free_port()}"
    dynamic.mkdir()
    route_platform(dynamic, webhooks, api, deliveries_most)
    static = folder / "door.yml"
    configuration = {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "entryPoints": {"platform": {"address": address}},
        "providers": {"file": {"directory": str(dynamic)}},
    }
    static.write_text(yaml.safe_dump(configuration))
    binary = Path(sys.executable).with_name("traefik")
    process = subprocess.Popen([binary, f"--configFile={static}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(timeout=10)
