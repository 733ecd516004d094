"""Asks webhooks of deliveries (`shared.contracts.deliveries`), on core NATS."""

from nats.errors import TimeoutError as NothingHeard

from services.api.refusals import not_found
from shared.bus import Bus
from shared.contracts.deliveries import ASK_SUBJECT, DeliveryQuestion, Told, told_subject
from shared.problems import Problem

PATIENCE_S = 15.0
"""How long webhooks may be silent; reading 25 MB again takes seconds."""


class Deliveries:
    """Those that webhooks keeps."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def ask(self, question: DeliveryQuestion) -> list[Told]:
        """All parts of the answer. Raises a 404 where there is no such delivery, a 504 where webhooks is silent, a 503 where it cannot."""
        heard = await self._bus.nc.subscribe(told_subject(question.id))
        try:
            await self._bus.nc.publish(ASK_SUBJECT, question.encode())
            parts: list[Told] = []
            while not parts or not parts[-1].last:
                parts.append(Told.decode((await heard.next_msg(timeout=PATIENCE_S)).data))
        except (TimeoutError, NothingHeard):
            detail = f"webhooks did not answer within {PATIENCE_S:.0f} s. Try again in a moment."
            raise Problem(504, "webhooks-silent", detail) from None
        finally:
            await heard.unsubscribe()
        if parts[-1].missing:
            raise not_found("delivery", question.delivery)
        if parts[-1].error:
            raise Problem(503, "delivery-unavailable", f"webhooks cannot do it: {parts[-1].error}.", headers={"Retry-After": "5"})
        return parts
