"""The process of notifier: takes events, keeps the channels, sends."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from services.notifier.backlogs import settle
from services.notifier.cdevents.publishing import Publisher
from services.notifier.comments.noting import PROVIDER as COMMENT
from services.notifier.handlers import Intake, decode
from services.notifier.mirror import Mirror
from services.notifier.providers.chat import ChatProvider
from services.notifier.providers.comment import CommentProvider
from services.notifier.providers.contract import Provider
from services.notifier.providers.forge import ForgeProvider
from services.notifier.providers.forges import forges
from services.notifier.providers.forges.api import ForgeApi
from services.notifier.providers.forges.comments import Comments
from services.notifier.providers.forges.tokens import Tokens
from services.notifier.providers.webhook import WebhookProvider
from services.notifier.pruning import prune
from services.notifier.sender import Sender
from services.notifier.settings import Settings
from services.notifier.store.comments import CommentLedger
from services.notifier.store.deployments import ForgeLedger
from shared.consumer import consume
from shared.guarded_http import GuardedClient, guarded_client
from shared.outbound import PRIVATE_FORGES, Reach
from shared.outbox import Outbox
from shared.postgres import Pool
from shared.process import Process, run, started
from shared.relay import Relay
from shared.rpc import channel
from shared.sealing import Vault

SCHEMA = "notifier"
MIGRATIONS = Path(__file__).parent / "migrations"


@dataclass(frozen=True)
class Clients:
    """One calls what channels name, the other forges: an admin gives leave for private addresses apart."""

    channels: GuardedClient
    forges: GuardedClient


def providers(clients: Clients, tokens: Tokens, pool: Pool, vault: Vault, public_url: str) -> Mapping[str, Provider]:
    """Every way to tell somebody, by a channel's kind; and what forges' channels tell besides."""
    ledger, forge_api = ForgeLedger(pool), ForgeApi(clients.forges)
    return {
        "webhook": WebhookProvider(clients.channels),
        "chat": ChatProvider(clients.channels, public_url),
        "forge": ForgeProvider(forges(forge_api, ledger), ledger, tokens, public_url),
        COMMENT: CommentProvider(Comments(forge_api), CommentLedger(pool), tokens, vault, public_url),
    }


async def assemble(process: Process, settings: Settings) -> None:
    """Puts the service together and starts it."""
    pool = await process.database(settings, SCHEMA)
    vault = Vault.from_file(settings.master_key_file)
    catalogue = await process.enter(channel(settings.api_address, settings.tls_dir, "notifier"))
    of_channels = Reach("Set SLIPWAY_ALLOW_PRIVATE_WEBHOOKS=true for the platform", everywhere=settings.allow_private_webhooks)
    of_forges = Reach(PRIVATE_FORGES, settings.private_forges)
    clients = Clients(await process.enter(guarded_client(of_channels)), await process.enter(guarded_client(of_forges)))
    outbox = Outbox("notifier")
    dead_after = timedelta(days=settings.dead_after_days)
    sender = Sender(
        pool,
        vault,
        outbox,
        providers(clients, Tokens(catalogue), pool, vault, settings.public_url),
        retry_first_s=settings.retry_first_s,
        dead_after=dead_after,
    )
    mirror = Mirror(pool, vault, catalogue)
    process.check("channels", mirror.ready)
    intake = Intake(pool, dead_after, Publisher(outbox, settings.public_url), sender.wake, mirror.wake)

    async def take() -> None:
        await mirror.first()
        await consume(process.bus, "EVENTS", "notifier-events", decode, intake.handle)

    process.spawn("relay", Relay(process.bus, settings.postgres_dsn.get_secret_value(), SCHEMA, outbox).run())
    process.spawn("mirror", mirror.run())
    process.spawn("sender", sender.run())
    process.spawn("intake", take())
    process.spawn("backlogs", settle(pool, mirror.first, sender.wake))
    process.spawn("prune", prune(pool))


async def main() -> None:
    """Runs until it is told to stop."""
    settings = Settings()
    async with started("notifier", settings) as process:
        await assemble(process, settings)
        await process.until_stopped()


if __name__ == "__main__":
    run(main)
