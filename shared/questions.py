"""Questions on core NATS: of the replicas of a service one hears each, and answers it beside the others."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from nats.aio.msg import Msg
from pydantic import ValidationError

from shared.bus import Bus
from shared.messages import Message

log = structlog.get_logger()
Q = TypeVar("Q", bound=Message)


async def answer_questions(bus: Bus, subject: str, group: str, kind: type[Q], answer: Callable[[Q], Awaitable[None]]) -> None:
    """Hears for ever. A question that cannot be read has no answer; the log says why."""
    answering: set[asyncio.Task[None]] = set()

    async def hear(raw: Msg) -> None:
        try:
            question = kind.decode(raw.data)
        except ValidationError as error:
            log.warning("question not understood", subject=subject, reason=str(error))
            return
        task = asyncio.ensure_future(answer(question))
        answering.add(task)
        task.add_done_callback(answering.discard)

    heard = await bus.nc.subscribe(subject, queue=group, cb=hear)
    try:
        await asyncio.Event().wait()
    finally:
        await heard.unsubscribe()
        for task in answering:
            task.cancel()
