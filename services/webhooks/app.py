"""Composition root of webhooks: builds, wires, serves."""

import asyncio

import structlog

from services.webhooks.catalogue import Authority, Catalogue
from services.webhooks.connections import Connections
from services.webhooks.git.access import Access
from services.webhooks.git.pipeline import Pipeline
from services.webhooks.git.pushes import Hooks, Pushes
from services.webhooks.git.remote import Remote
from services.webhooks.git.repositories import Repositories
from services.webhooks.handlers import Settled, decode
from services.webhooks.intake import Intake
from services.webhooks.judging import Judging
from services.webhooks.pushers import Pushers
from services.webhooks.questions import Questions
from services.webhooks.reading import Reader
from services.webhooks.request_sweep import RequestSweep
from services.webhooks.requests import Room
from services.webhooks.resending import Resending
from services.webhooks.server import Application
from services.webhooks.settings import Settings
from services.webhooks.store import Store
from services.webhooks.sweep import ForgeSweep, OwnSweep
from shared import clone_credentials
from shared.consumer import consume
from shared.guarded_http import guarded_client
from shared.health import serve
from shared.outbound import PRIVATE_FORGES, Reach
from shared.outbox import Outbox
from shared.postgres import UNAVAILABLE, Pool
from shared.process import Process, run, started
from shared.relay import Relay
from shared.rpc import channel
from shared.sealing import Vault

log = structlog.get_logger()

FORGET_EVERY_S = 3600.0


async def main() -> None:
    """Runs until it is told to stop."""
    settings = Settings()
    async with started("webhooks", settings) as process:
        await assemble(process, settings, await process.database(settings, "webhooks"))
        await process.until_stopped()


async def assemble(process: Process, settings: Settings, pool: Pool) -> int:
    """Wires everything into the process; answers the port that it serves on."""
    api = await process.enter(channel(settings.api_address, settings.tls_dir, "webhooks"))
    auth = await process.enter(channel(settings.auth_address, settings.tls_dir, "webhooks"))
    outbox = Outbox("webhooks")
    store = Store(pool, outbox)
    await store.advance_arrivals()
    catalogue = Catalogue(api)
    connections = Connections(pool, Vault.from_file(settings.master_key_file), catalogue)
    await connections.load()
    await connections.listen(process.bus)
    reader = Reader()
    judging = Judging(store, reader)
    process.measure(judging.measure)
    intake = Intake(connections, store, reader, Room(), judging)

    hooks = Hooks(settings.home / "run")
    repositories = Repositories(settings.repositories, hooks.folder, settings.push_limit_bytes)
    pipeline = Pipeline(process.bus)
    pushes = Pushes(store, repositories, pipeline, hooks, settings.clone_url)
    remote = Remote(repositories, Access(Authority(auth), catalogue, clone_credentials.read_key(settings.clone_key_file)), pushes)
    await process.enter(pushes.serving())
    port = await process.enter(serve(Application(intake, remote), *settings.listens_on, proxied=False))
    await process.enter(pipeline.telling())  # entered last, left first: pushers hear the end before the server waits for them

    process.spawn("intake", intake.run())
    process.spawn("judging", judging.run(lambda: intake.pressed))
    process.spawn("connections", connections.run())
    process.spawn("questions", Questions(process.bus, store, connections, reader).run())
    process.spawn("relay", Relay(process.bus, settings.postgres_dsn.get_secret_value(), "webhooks", outbox).run())
    process.spawn("settled", consume(process.bus, "EVENTS", "webhooks-settled", decode, Settled(store), batch=500))
    process.spawn("resend", Resending(process.bus, store).run())
    process.spawn("forget", _forget(store))
    process.spawn("own-sweep", OwnSweep(store, repositories, settings.clone_url, settings.sweep_s).run())
    reach = Reach(PRIVATE_FORGES, settings.private_forges)
    client = await process.enter(guarded_client(reach))
    sweep = ForgeSweep(store, connections, catalogue, repositories, reach, Pushers(client), settings.sweep_s, settings.sweep_grace_s)
    requests = RequestSweep(store, connections, catalogue, client, settings.sweep_s, settings.sweep_grace_s)
    process.spawn("request-sweep", requests.run())
    process.spawn("forge-sweep", sweep.run())
    return port


async def _forget(store: Store) -> None:
    """What is old, for ever; while the database is away it waits."""
    while True:
        try:
            await store.forget()
        except UNAVAILABLE as error:
            log.warning("old deliveries stay for now", reason=str(error) or type(error).__name__)
        await asyncio.sleep(FORGET_EVERY_S)


if __name__ == "__main__":
    run(main)
