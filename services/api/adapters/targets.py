"""Asks targets what differs from their records (`shared.contracts.examination`), on core NATS."""

from nats.errors import TimeoutError as NothingHeard

from shared.bus import Bus
from shared.contracts.examination import Question, Told, ask_subject, told_subject
from shared.problems import Problem

PATIENCE_S = 25.0
"""How long a target may be silent while it answers; people's clients wait for 30 s."""


class Targets:
    """Every target that has a deployer on the bus."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def ask(self, target: str, question: Question) -> list[Told]:
        """All parts of the answer. Raises a 504 where the target is silent, a 503 where it cannot look now."""
        heard = await self._bus.nc.subscribe(told_subject(target, question.id))
        try:
            await self._bus.nc.publish(ask_subject(target), question.encode())
            parts: list[Told] = []
            while not parts or not parts[-1].last:
                parts.append(Told.decode((await heard.next_msg(timeout=PATIENCE_S)).data))
        except (TimeoutError, NothingHeard):
            goes_on = " It may still be at it: ask again in a moment." if question.mend else ""
            detail = f"The deployer of the target {target} did not answer within {PATIENCE_S:.0f} s.{goes_on}"
            raise Problem(504, "target-silent", detail) from None
        finally:
            await heard.unsubscribe()
        if parts[-1].error:
            raise Problem(503, "target-unavailable", f"The target {target} cannot say: {parts[-1].error}.", headers={"Retry-After": "5"})
        return parts
