"""What api does by itself: it tells auth what was done and what was deleted, and forgets what is old."""

import asyncio
from datetime import UTC

import structlog
from grpc import aio

from services.api.adapters.auth import Auth
from services.api.live import Wakeups, news
from services.api.store import audit, cdevents, forgotten, idempotency, logs
from shared.postgres import UNAVAILABLE, Pool
from shared.proto import auth_pb2 as pb
from shared.rpc import CALL_S

log = structlog.get_logger()

CDEVENT_DAYS = 30
"""As long as the bus keeps them."""
_RETRY_S = 2.0
_HOURLY_S = 3600.0


async def tell_auth(pool: Pool, auth: Auth, wakeups: Wakeups) -> None:
    """Delivers audit entries in order, and what was deleted, for ever; each is forgotten once auth has it. Both may arrive twice.

    No connection is held while auth is asked.
    """
    while True:
        ticket = wakeups.ticket()
        try:
            delivered = await _deliver_audit(pool, auth) + await _deliver_forgotten(pool, auth)
        except (aio.AioRpcError, *UNAVAILABLE) as error:
            log.warning("what auth should know waits", error=str(error) or type(error).__name__)
            await asyncio.sleep(_RETRY_S)
            continue
        if not delivered:
            await news(ticket, 10.0)


async def _deliver_audit(pool: Pool, auth: Auth) -> int:
    entries = await audit.oldest(pool)
    for entry in entries:
        message = pb.AuditEntry(
            id=entry.id,
            time=entry.time.astimezone(UTC).isoformat(),
            subject=entry.subject,
            action=entry.action,
            resource=entry.resource,
            allowed=True,
            details=entry.details,
        )
        await auth.stub.Audit(message, timeout=CALL_S)
        await audit.delivered(pool, entry.position)
    return len(entries)


async def _deliver_forgotten(pool: Pool, auth: Auth) -> int:
    gone = await forgotten.oldest(pool)
    for each in gone:
        await auth.stub.Forget(pb.Gone(resource=each.resource, by=each.by), timeout=CALL_S)
        await forgotten.done(pool, each.resource)
    return len(gone)


async def forget_old(pool: Pool, log_days: int) -> None:
    """Forgets old log lines, CDEvents and idempotency keys, every hour."""
    while True:
        try:
            async with pool.acquire() as connection:
                await logs.prune(connection, log_days)
                await cdevents.prune(connection, CDEVENT_DAYS)
                await idempotency.prune(connection)
        except UNAVAILABLE as error:
            log.warning("old rows wait", error=str(error) or type(error).__name__)
        await asyncio.sleep(_HOURLY_S)
