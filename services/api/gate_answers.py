"""Answers of gates on their own subjects: the bus lets only the gate's own user write there. Each is kept, and whoever waits is told so."""

from collections.abc import Awaitable, Callable

import structlog
from nats.aio.msg import Msg
from pydantic import ValidationError

from services.api.resources.requests import keep
from services.api.store import gates
from services.api.store.gates import StoredGate
from shared import postgres
from shared.bus import Bus
from shared.contracts.gates import GateAnswer, GateReply, subject_of
from shared.contracts.requests import AnswerRequested
from shared.outbox import Outbox
from shared.postgres import Connection, Pool
from shared.subscribers import inbox_of_gate

log = structlog.get_logger()

LARGEST = 16 * 1024
"""Of an answer, in bytes."""


async def listen(bus: Bus, pool: Pool, outbox: Outbox) -> None:
    """Takes answers from now on; of several replicas one takes each."""
    await bus.nc.subscribe(subject_of("*", "*"), queue="api", cb=_taking(bus, pool, outbox))


def _taking(bus: Bus, pool: Pool, outbox: Outbox) -> Callable[[Msg], Awaitable[None]]:
    async def take(message: Msg) -> None:
        try:
            reply = await _take(pool, outbox, message)
        except postgres.UNAVAILABLE as error:
            log.warning("an answer of a gate was not kept", subject=message.subject, error=str(error) or type(error).__name__)
            reply = GateReply(error="The answer cannot be kept now.", again=True)
        # Anywhere else it would be written with rights that the gate has not.
        if message.reply.startswith(f"{inbox_of_gate(*_gate_of(message))}."):
            await bus.nc.publish(message.reply, reply.model_dump_json(exclude_none=True).encode())

    return take


def _gate_of(message: Msg) -> tuple[str, str]:
    organization, name = message.subject.split(".")[2:]
    return organization, name


async def _take(pool: Pool, outbox: Outbox, message: Msg) -> GateReply:
    organization, name = _gate_of(message)
    gate = await gates.get(pool, organization, name)
    if gate is None:
        return GateReply(error=f"There is no gate {name}.")
    if len(message.data) > LARGEST:
        return GateReply(error=f"An answer has at most {LARGEST // 1024} KiB.")
    try:
        said = GateAnswer.model_validate_json(message.data)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:5])
        return GateReply(error=f"This is no answer: {wrong}")
    async with pool.acquire() as connection, connection.transaction():
        request = await answer(connection, gate, said, gate.subject, f"gate {name}")
        await keep(connection, outbox, request, None, gate.resource, said.deployment)
    outbox.wake()
    return GateReply(request=request.id)


async def answer(connection: Connection, gate: StoredGate, said: GateAnswer, subject: str, subject_name: str) -> AnswerRequested:
    """What the coordinator is told of an answer that came just now. It decides whether the answer counts."""
    return AnswerRequested(
        time=await gates.now(connection),
        organization=gate.organization,
        subject=subject,
        subject_name=subject_name,
        target_deployment=said.deployment,
        gate=gate.name,
        gate_id=gate.id,
        result=said.result,
        reason=said.reason,
    )
