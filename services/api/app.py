"""The process of api: HTTP, the gRPC service Catalogue, and the readers of events, logs and dead letters."""

from dataclasses import dataclass
from functools import partial

from services.api import background, first_start, gate_answers, previews, subscriptions
from services.api.adapters.auth import Auth
from services.api.adapters.consumers import Consumers
from services.api.adapters.deliveries import Deliveries
from services.api.adapters.targets import Targets
from services.api.archive import Archive, decode_cdevent, decode_event, decode_letter, decode_lines
from services.api.catalogue_servicer import Servicer
from services.api.dependencies import Parts
from services.api.forges.deploy_keys import DeployKeys
from services.api.forges.github_app import AppTokens
from services.api.forges.hooks import ForgeHooks
from services.api.http import build
from services.api.live import Wakeups
from services.api.safe import Safe
from services.api.settings import Settings
from services.api.telling import measure_letters
from shared import clone_credentials
from shared.consumer import consume
from shared.guarded_http import guarded_client
from shared.health import serve
from shared.outbound import PRIVATE_FORGES, Reach
from shared.outbox import Outbox
from shared.process import Process, run, started
from shared.relay import Relay
from shared.rpc import channel, server
from shared.sealing import Vault


@dataclass(frozen=True)
class Opened:
    """A running api: its parts, and the ports that it listens on."""

    parts: Parts
    http_port: int
    grpc_port: int


async def main(settings: Settings | None = None) -> None:
    """Runs until it is told to stop."""
    settings = settings or Settings()
    async with started("api", settings) as process:
        await open_api(process, settings)
        await process.until_stopped()


async def open_api(process: Process, settings: Settings) -> Opened:
    """Everything that api is, in a process that is there already; closed with it."""
    parts = await parts_for(settings, process)
    public_key = settings.target_public_key_file.read_bytes()
    await first_start.prepare(parts.pool, parts.outbox, settings.organization, settings.target, public_key)
    start_readers(process, parts)
    process.spawn("tell auth", background.tell_auth(parts.pool, parts.auth, parts.wakeups))
    process.spawn("subscribers", subscriptions.write(parts.pool, settings.home / "run" / "subscribers.json", parts.wakeups))
    process.spawn("reading of subscribers", subscriptions.note(parts.pool, parts.consumers))
    process.spawn("forgetting", background.forget_old(parts.pool, settings.log_days))
    await gate_answers.listen(process.bus, parts.pool, parts.outbox)
    process.spawn("previews", previews.expire(parts.pool, parts.outbox))
    clone_key = clone_credentials.read_key(settings.home / "keys" / "clone.key")
    servicer = Servicer(parts.pool, parts.outbox, parts.safe, settings, clone_key, parts.apps)
    grpc_port = await process.enter(server(settings.grpc_address, settings.tls_dir, "api", servicer.register))
    host, _, port = settings.http_address.rpartition(":")
    http_port = await process.enter(serve(build(parts, process.checks), host, int(port)))
    return Opened(parts, http_port, grpc_port)


async def parts_for(settings: Settings, process: Process) -> Parts:
    """Opens what the routes work with; each part is closed when the process ends."""
    pool = await process.database(settings, "api")
    auth = Auth(await process.enter(channel(settings.auth_address, settings.tls_dir, "api")))
    process.check("auth", auth.ready)
    safe = Safe(Vault.from_file(settings.master_key_file))
    forges = await process.enter(guarded_client(Reach(PRIVATE_FORGES, settings.private_forges)))
    return Parts(
        settings,
        pool,
        Outbox("api"),
        safe,
        auth,
        Wakeups(),
        Targets(process.bus),
        Deliveries(process.bus),
        forges,
        ForgeHooks(forges),
        DeployKeys(forges),
        AppTokens(forges),
        Consumers(process.bus),
    )


def start_readers(process: Process, parts: Parts) -> None:
    """The relay of the outbox, and one reader a durable."""
    bus, dsn = process.bus, parts.settings.postgres_dsn.get_secret_value()
    archive = Archive(parts.pool, parts.outbox, parts.wakeups, parts.settings.organization)
    process.measure(partial(measure_letters, parts.pool))
    process.spawn("relay", Relay(bus, dsn, "api", parts.outbox).run())
    process.spawn("events", consume(bus, "EVENTS", "api-events", decode_event, archive.take_events, batch=200))
    process.spawn("cdevents", consume(bus, "CDEVENTS", "api-cdevents", decode_cdevent, archive.take_cdevents, batch=200))
    process.spawn("logs", consume(bus, "LOGS", "api-logs", decode_lines, archive.take_lines, batch=200))
    process.spawn("letters", consume(bus, "DEADLETTERS", "api-deadletters", decode_letter, archive.take_letters))


if __name__ == "__main__":
    run(main)
