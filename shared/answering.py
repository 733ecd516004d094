"""What a participant says of its commands: published until JetStream has it, and free of secrets and NULs."""

import asyncio

import structlog

from shared import bus as bus_module
from shared.bus import Bus
from shared.contracts.answers import Answer, Failure, Outcome, answer
from shared.contracts.commands import Command
from shared.contracts.facts import Fact
from shared.process import worker_name
from shared.redaction import Redactor

log = structlog.get_logger()


class Answering:
    """The answers of one participant on one target."""

    def __init__(self, bus: Bus, participant: str, target: str) -> None:
        self._bus = bus
        self._participant = participant
        self._target = target
        self._worker = worker_name()

    def form(self, command: Command, outcome: Outcome, *, fact: Fact | None = None, failure: Failure | None = None) -> Answer:
        """What became of a command."""
        said = answer(command, self._participant, outcome, fact=fact, failure=failure, worker=self._worker)
        return said.model_copy(update={"target": self._target})

    async def say(self, said: Answer) -> None:
        """Publishes an answer until JetStream has it; one that is too large for the bus becomes a failure."""
        try:
            await self._publish(said)
        except bus_module.TooLarge as error:
            log.error("answer too large", step=said.step, error=str(error))
            message = "what the step has to say is too large for the bus: describe less in slipway.yaml"
            failure = Failure(code="answer_too_large", message=message, details=str(error))
            await self._publish(said.model_copy(update={"outcome": Outcome.FAILED, "name": None, "data": {}, "failure": failure}))

    async def _publish(self, said: Answer) -> None:
        subject = f"slipway.res.{self._target}.{self._participant}.{said.deployment}-{said.step}"
        pause = 0.1
        while True:
            try:
                await self._bus.publish(subject, said)
            except bus_module.UNAVAILABLE as error:
                log.warning("answer waits for the bus", step=said.step, error=repr(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, 5.0)
            else:
                return


def without_secrets(fact: Fact, redactor: Redactor) -> Fact:
    """A fact whose last lines of a program's log show no secrets. The rest is Slipway's own words, of which none may be lost."""
    tail: tuple[str, ...] | None = getattr(fact, "log_tail", None)
    return fact if tail is None else fact.model_copy(update={"log_tail": tuple(_shown(line, redactor) for line in tail)})


def redacted(failure: Failure, redactor: Redactor) -> Failure:
    """A failure that shows no secrets."""
    return failure.model_copy(
        update={
            "message": _shown(failure.message, redactor),
            "details": _shown(failure.details, redactor),
            "log_tail": tuple(_shown(line, redactor) for line in failure.log_tail),
        }
    )


def _shown(text: str, redactor: Redactor) -> str:
    """What a program wrote may hold anything: a database takes no NUL, and JSON no half of a character."""
    return redactor(text).replace("\0", "\ufffd").encode(errors="replace").decode()
