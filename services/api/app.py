"""The process of api: HTTP, the gRPC service Catalogue, and the readers of events, logs and dead letters."""

from services.api import background, first_start
from services.api.adapters.auth import Auth
from services.api.archive import Archive, decode_event, decode_letter, decode_lines
from services.api.catalogue_servicer import Servicer
from services.api.dependencies import Parts
from services.api.http import build
from services.api.live import Wakeups
from services.api.safe import Safe
from services.api.settings import Settings
from shared import clone_credentials
from shared.consumer import consume
from shared.health import serve
from shared.outbox import Outbox, Relay
from shared.process import Process, run, started
from shared.rpc import channel, server
from shared.sealing import Vault


async def main(settings: Settings | None = None) -> None:
    """Runs until it is told to stop."""
    settings = settings or Settings()
    async with started("api", settings) as process:
        parts = await parts_for(settings, process)
        await first_start.prepare(
            parts.pool, parts.outbox, settings.organization, settings.target, settings.target_public_key_file.read_bytes()
        )
        start_readers(process, parts)
        process.spawn("audit", background.deliver_audit(parts.pool, parts.auth, parts.wakeups))
        process.spawn("forgetting", background.forget_old(parts.pool, settings.log_days))
        clone_key = clone_credentials.read_key(settings.home)
        servicer = Servicer(parts.pool, parts.safe, settings, clone_key)
        await process.enter(server(settings.grpc_address, settings.tls_dir, "api", servicer.register))
        host, _, port = settings.http_address.rpartition(":")
        await process.enter(serve(build(parts, process.checks), host, int(port)))
        await process.until_stopped()


async def parts_for(settings: Settings, process: Process) -> Parts:
    """Opens what the routes work with; each part is closed when the process ends."""
    pool = await process.database(settings, "api")
    auth = Auth(await process.enter(channel(settings.auth_address, settings.tls_dir, "api")))
    process.check("auth", auth.ready)
    safe = Safe(Vault.from_file(settings.master_key_file))
    return Parts(settings, pool, Outbox("api"), safe, auth, Wakeups())


def start_readers(process: Process, parts: Parts) -> None:
    """The relay of the outbox, and one reader a durable."""
    bus, dsn = process.bus, parts.settings.postgres_dsn.get_secret_value()
    archive = Archive(parts.pool, parts.outbox, parts.wakeups)
    process.spawn("relay", Relay(bus, dsn, "api", parts.outbox).run())
    process.spawn("events", consume(bus, "EVENTS", "api-events", decode_event, archive.take_events, batch=200))
    process.spawn("logs", consume(bus, "LOGS", "api-logs", decode_lines, archive.take_lines, batch=200))
    process.spawn("letters", consume(bus, "DEADLETTERS", "api-deadletters", decode_letter, archive.take_letters))


if __name__ == "__main__":
    run(main)
