"""The worker side of the saga: takes commands from its pools, says `accepted`, beats, works, answers, acknowledges.

A command is acknowledged only after JetStream has acknowledged its answer; effects are idempotent by
step key, so a command that comes again is done again. Built on FastStream, one subscriber a pool.
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import structlog
from nats.aio.msg import Msg
from nats.errors import ConnectionClosedError
from opentelemetry.trace import StatusCode
from pydantic import ValidationError
from structlog.contextvars import bound_contextvars

from shared import bus as bus_module
from shared.answering import Answering, redacted, without_secrets
from shared.bus import Bus, Gone
from shared.consumer import UNKNOWN_DELAY_S, UNKNOWN_TRIES
from shared.contracts.answers import Answer, Failure, Outcome
from shared.contracts.commands import Command, Direction
from shared.contracts.facts import Fact
from shared.contracts.logs import Beat, Cancel
from shared.contracts.steps import COMMANDS, pools_of
from shared.letters import Delivered, as_it_came, bury, delivered
from shared.messages import UnknownType, type_of
from shared.redaction import Redactor
from shared.settings import ServiceSettings
from shared.telemetry import HANDLED, HANDLING_SECONDS, REDELIVERED, span
from shared.topology import WORKERS, command_durable, inbox_of
from shared.work import AnyHandler, GivenBack, LowerEpoch, StepFailure, Unavailable, Work
from shared.workers_broker import CLOSED_S, WorkersBroker

log = structlog.get_logger()

BEAT_S = 5.0
ACCEPT_AFTER_S = 0.1
"""A step that ends sooner is answered at once: its `accepted` would only be one message more to store and to read."""
TRIES = 3
"""Deliveries after which a command that fails unexpectedly, or kills its worker, is answered as failed and dead-lettered."""
DELIVERIES = 10
"""Deliveries after which a command is not tried any more: it must have killed its workers. More than `TRIES`, since workers that
stop give commands back, and a bus that was away brings them again."""
LOOK_S = 10.0
"""How often a worker looks whether the stream of commands is there."""
GIVEN_BACK_S = 1.0
"""When another worker gets what this one gives back because it stops."""


@dataclass(frozen=True)
class _AtWork:
    """A command that is being handled, and its sequence number in the stream."""

    work: Work
    task: asyncio.Task[Fact]
    sequence: int


class Participant:
    """One participant's workers, for every pool that it has commands in."""

    def __init__(
        self,
        name: str,
        settings: ServiceSettings,
        bus: Bus,
        handlers: Mapping[type[Command], AnyHandler],
        undos: Mapping[type[Command], AnyHandler] | None = None,
    ) -> None:
        self.name = name
        self.target = "_" if name == "auth" else settings.target
        self._settings = settings
        self._bus = bus
        self._handlers = {Direction.DO: dict(handlers), Direction.UNDO: dict(undos or {})}
        self._working: dict[tuple[str, Direction], _AtWork] = {}
        self._answers = Answering(bus, name, self.target)
        self._stopping = False

    async def run(self) -> None:
        """Takes commands for ever."""
        broker = WorkersBroker.of(self._settings, f"slipway-{self.name}-commands", inbox_of(self.name))
        for pool in pools_of(self.name):
            self._subscribe(broker, pool)
        cancels = await self._bus.nc.subscribe(f"slipway.cancel.{self.target}.>", cb=self._hear_cancel)
        client = await broker.connect()
        self._bus.beside.add(client)
        looking = asyncio.create_task(self._look())
        try:
            with suppress(ConnectionClosedError):
                await broker.start()
            while not client.is_closed:  # where nats-py has given up, nothing brings commands any more
                await asyncio.sleep(CLOSED_S)
            raise bus_module.ConnectionLost(self.name)
        finally:
            self._stopping = True
            looking.cancel()
            for at_work in self._working.values():
                at_work.task.cancel()
            with suppress(ConnectionClosedError):
                await cancels.unsubscribe()
            self._bus.beside.discard(client)
            await broker.end(client)

    async def _look(self) -> None:
        """FastStream asks a consumer that is gone for ever, and says nothing: the bus does."""
        while True:
            await asyncio.sleep(LOOK_S)
            with suppress(Gone, *bus_module.UNAVAILABLE):
                await self._bus.look()

    def _subscribe(self, broker: WorkersBroker, pool: str) -> None:
        durable = command_durable(self.target, self.name, pool)
        self._bus.reading.add(("COMMANDS", durable))

        async def take(raw: Msg) -> None:
            try:
                await self._take(durable, raw)
            except Exception:
                log.exception("command was not seen through", durable=durable, subject=raw.subject)  # FastStream says nothing of it
                raise

        broker.take_commands(f"slipway.cmd.{self.target}.{self.name}.{pool}.>", durable, WORKERS[pool], inbox_of(self.name), take)

    async def _take(self, durable: str, raw: Msg) -> None:
        if self._stopping:
            await raw.nak(delay=GIVEN_BACK_S)
            return
        tries = raw.metadata.num_delivered
        if tries > 1:
            REDELIVERED.labels(durable).inc()
            log.info("command came again", durable=durable, subject=raw.subject, tries=tries)
        came = as_it_came(durable, raw)
        try:
            came = delivered(self._bus, durable, raw)
            command = _command(came)
        except ValueError as error:
            await self._not_read(raw, came, tries, error)
            return
        if not await self._has_its_turn(command, raw):
            return
        if tries > DELIVERIES:
            await self._given_up(command, raw, came, tries)
            return
        where = {"deployment": command.deployment, "step": command.step, "direction": command.direction, "attempt": command.attempt}
        begin = time.monotonic()
        title = f"{type(command).__name__} {command.direction}"
        with bound_contextvars(**where), span(title, came.headers) as now, HANDLING_SECONDS.labels(durable).time():
            now.set_attributes(_about(self.name, command, durable))
            said = await self._work(command, raw, tries, came)
            if said is None:
                return
            if said.failure is not None:
                now.set_status(StatusCode.ERROR, f"{said.failure.code}: {said.failure.message}")
            said = said.model_copy(update={"seconds": round(time.monotonic() - begin, 3)})
            await self._answers.say(said)
            await raw.ack()
            if said.failure is None:
                log.info("command done", command=title, seconds=said.seconds)
            else:
                log.warning("command not done", command=title, seconds=said.seconds, outcome=said.outcome, code=said.failure.code)
        HANDLED.labels(durable, said.outcome).inc()

    async def _has_its_turn(self, command: Command, raw: Msg) -> bool:
        """Waits while another attempt at the step is at work here. False for the very command that is, which came again (its beats keep it), and where
        the process stops.

        The one that waits is accepted: else the coordinator would give the step up as one that nobody took. Whoever is at work beats for the step.
        """
        accepted = False
        while (now := self._working.get((command.step_key, command.direction))) is not None:
            if now.sequence == raw.metadata.sequence.stream:
                return False
            if not accepted:
                await self._answers.say(self._answers.form(command, Outcome.ACCEPTED))
                accepted = True
            await asyncio.wait({now.task}, timeout=BEAT_S)
            if self._stopping:
                await raw.nak(delay=GIVEN_BACK_S)
                return False
            await raw.in_progress()
        return True

    async def _given_up(self, command: Command, raw: Msg, came: Delivered, tries: int) -> None:
        """What came so often without an answer is not begun once more."""
        message = (
            f"{self.name} took it {tries - 1} times and never answered: its workers died of it, or were ended; their logs may say more"
        )
        await bury(self._bus, came, RuntimeError("killed its workers"), message)
        await self._answers.say(self._answers.form(command, Outcome.FAILED, failure=Failure(code="worker_killed", message=message)))
        await raw.ack()

    async def _not_read(self, raw: Msg, came: Delivered, tries: int, error: ValueError) -> None:
        if isinstance(error, UnknownType) and tries < UNKNOWN_TRIES:
            log.warning("left to a newer replica", durable=came.durable, subject=came.subject, error=str(error), tries=tries)
            await raw.nak(delay=UNKNOWN_DELAY_S)
            return
        await bury(self._bus, came, error)
        await raw.term()

    async def _work(self, command: Command, raw: Msg, tries: int, came: Delivered) -> Answer | None:
        """Runs the handler and forms the answer; None where the command was given back."""
        work = Work(command, self._bus, self.target)
        beats = asyncio.create_task(self._beat(command, raw))
        task = asyncio.create_task(self._handle(command, work))
        self._working[command.step_key, command.direction] = _AtWork(work, task, raw.metadata.sequence.stream)
        try:
            said = await self._result(command, work, task)
        except GivenBack:
            await raw.nak(delay=GIVEN_BACK_S)
            return None
        except Exception as error:  # noqa: BLE001 -- the process edge: given back, or dead-lettered and answered
            unexpected = await self._unexpected(command, raw, tries, came, error, work.redactor)
            if unexpected is None or unexpected.failure is None:
                return None
            return unexpected.model_copy(update={"failure": redacted(unexpected.failure, work.redactor)})
        finally:
            del self._working[command.step_key, command.direction]
            beats.cancel()
            await work.flush()
        return said

    async def _result(self, command: Command, work: Work, task: asyncio.Task[Fact]) -> Answer:
        try:
            async with asyncio.timeout(command.timeout_s):
                return self._answers.form(command, Outcome.DONE, fact=without_secrets(await task, work.redactor))
        except StepFailure as error:
            return self._answers.form(command, Outcome.FAILED, failure=redacted(error.failure, work.redactor))
        except LowerEpoch as error:
            refused = self._answers.form(command, Outcome.REFUSED, failure=Failure(code="lower_epoch", message=str(error)))
            return refused.model_copy(update={"seen_epoch": error.seen})
        except TimeoutError:
            waited = f": it waited, since {work.redactor(work.waits_for)}" if work.waits_for else ""
            message = f"the step did not end within {command.timeout_s:g} s{waited}"
            return self._answers.form(command, Outcome.FAILED, failure=Failure(code="timed_out", message=message))
        except asyncio.CancelledError:
            if (current := asyncio.current_task()) is None or current.cancelling():
                raise
            if not work.cancelled.is_set():
                raise GivenBack from None
            return self._answers.form(command, Outcome.FAILED, failure=Failure(code="cancelled", message="cancelled"))

    async def _handle(self, command: Command, work: Work) -> Fact:
        handler = self._handlers[command.direction][type(command)]
        pause = 0.5
        while True:
            work.waits_for = ""
            try:
                return await handler(command, work)
            except Unavailable as error:
                work.waits_for = str(error)
                work.log(f"waiting: {error}")
                log.warning("step waits", step=command.step_key, reason=str(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, 5.0)

    async def _unexpected(
        self, command: Command, raw: Msg, tries: int, came: Delivered, error: Exception, redactor: Redactor
    ) -> Answer | None:
        log.error("command failed unexpectedly", exc_info=error, step=command.step_key, direction=command.direction, tries=tries)
        if tries < TRIES:
            await raw.nak(delay=float(tries))
            return None
        await bury(self._bus, came, error, redactor(str(error)))
        message = f"{self.name} failed unexpectedly {tries} times; this is a defect of Slipway or of its surroundings"
        return self._answers.form(command, Outcome.FAILED, failure=Failure(code="internal_error", message=message, details=repr(error)))

    async def _beat(self, command: Command, raw: Msg) -> None:
        beat = Beat(deployment=command.deployment, step=command.step, direction=command.direction, attempt=command.attempt)
        await asyncio.sleep(ACCEPT_AFTER_S)
        await self._answers.say(self._answers.form(command, Outcome.ACCEPTED))
        while True:
            await asyncio.sleep(BEAT_S)
            with suppress(*bus_module.UNAVAILABLE):
                await self._bus.nc.publish(f"slipway.beat.{self.target}.{command.step_key}", beat.encode())
                await raw.in_progress()

    async def _hear_cancel(self, raw: Msg) -> None:
        try:
            cancel = Cancel.decode(raw.data)
        except ValidationError:
            return
        working = self._working.get((raw.subject.rsplit(".", 1)[-1], cancel.direction))
        if working is not None:
            working.work.cancelled.set()
            working.task.cancel()


def _command(came: Delivered) -> Command:
    """Raises `UnknownType` for a command that a newer version may know, `ValidationError` for one that none does."""
    name = type_of(came.headers) or ""
    if name not in COMMANDS:
        raise UnknownType(f"unknown command {name}")
    return COMMANDS[name].decode(came.body)


def _about(participant: str, command: Command, durable: str) -> dict[str, str | int]:
    """What a viewer of traces sees of a worker's span."""
    return {
        "deployment.id": command.deployment or "",
        "slipway.participant": participant,
        "slipway.step": command.step or "",
        "slipway.step.attempt": command.attempt,
        "messaging.system": "nats",
        "messaging.consumer.group.name": durable,
    }
