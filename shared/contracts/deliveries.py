"""What people ask of webhook deliveries (`slipway deliveries`), and what webhooks answers: on core NATS, where losing one is harmless.

Asked on `slipway.ask._webhooks` (no target has such a name), answered on `slipway.told._webhooks.<id of the question>`, one delivery
a part, so that each fits the bus; the last part says so.
"""

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from shared.contracts.changes import FoundBy
from shared.messages import Frozen, Message, Slug

ASK_SUBJECT = "slipway.ask._webhooks"


class Verb(StrEnum):
    """What is asked for."""

    LIST = "list"
    """The newest first, without bodies."""
    SHOW = "show"
    """One, with its headers and the beginning of its body."""
    REDELIVER = "redeliver"
    """One is read again, and what it says becomes new changes, with the rights of `person`."""


class DeliveryQuestion(Message):
    """About the deliveries of an organization's connections."""

    verb: Verb
    organization: Slug
    connection: Slug | None = Field(default=None, description="LIST: of this one only")
    delivery: str = Field(default="", description="SHOW, REDELIVER: which; LIST: those that came before it")
    limit: int = Field(default=50, ge=1, le=501)
    person: str | None = Field(default=None, description="REDELIVER: who asks")


class DeliveredChange(Frozen):
    """A change that a delivery led to, and what became of it."""

    id: str
    ref: str
    commit: str
    state: str = Field(description="pending, taken or ignored")
    reason: str | None = None
    deployments: tuple[str, ...]
    found_by: FoundBy
    created_at: datetime


class DeliveryPage(Frozen):
    """A delivery as it was stored. Without a reason each of its refs became a change."""

    id: str
    connection: str
    project: str
    forge: str
    event: str
    hook: str = Field(description="The forge's id of the hook, where it says it")
    key: str = Field(description="The forge's id of the delivery; `sha256:…` of its body where it has none")
    received_at: datetime
    size: int | None = Field(default=None, description="Bytes of the body; null once it is forgotten")
    reason: str | None = Field(default=None, description="Why it, or some of what it says, led to no change")
    changes: tuple[DeliveredChange, ...]


class Told(Message):
    """A part of the answer."""

    last: bool = False
    delivery: DeliveryPage | None = None
    sent_headers: dict[str, str] = Field(default={}, description="SHOW: without signatures and tokens")
    body: str = Field(default="", description="SHOW: its beginning, as text")
    changes: tuple[str, ...] = Field(default=(), description="REDELIVER: the new ones")
    reason: str = Field(default="", description="REDELIVER: why there are none, or fewer than refs")
    error: str = Field(default="", description="It could not be done, and why")
    missing: bool = Field(default=False, description="There is no such delivery")


def told_subject(question: str) -> str:
    """Where a question is answered."""
    return f"slipway.told._webhooks.{question}"
