"""Answers of participants: many in one transaction, each moving its saga; one that was taken before moves nothing."""

from collections.abc import Sequence

from services.coordinator.coordinator import Coordinator
from shared import inbox
from shared.consumer import Received
from shared.contracts.answers import Answer


async def take_results(coordinator: Coordinator, batch: Sequence[Received[Answer]]) -> None:
    """Handles a batch of RESULTS."""
    async with coordinator.work() as work:
        new = await inbox.take(work.connection, [item.message.id for item in batch])
        answers = [item for item in batch if item.message.id in new]
        await work.lock(item.message.deployment for item in answers if item.message.deployment)
        for item in answers:
            await work.apply(item.message.deployment or "", item.message, item.headers.get("traceparent"))
