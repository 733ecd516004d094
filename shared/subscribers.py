"""Outside tools that read events, and gates, which also answer: what each may touch, as whom, and the one consumer that it has. Pure.

Both the service that keeps subscribers and whoever makes users and consumers on the bus go by these rules, so neither takes
the other's word for what a subscriber may touch.
"""

import re
from collections.abc import Sequence
from itertools import combinations
from typing import Annotated, Self

from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from pydantic import AwareDatetime, StringConstraints, model_validator

from shared.contracts.gates import subject_of
from shared.messages import Frozen, Slug
from shared.topology import GATE_INBOXES, User, inbox_of

PREFIXES = {"EVENTS": "slipway.evt", "CDEVENTS": "cdevents"}
"""The streams that outside tools may read, and how the subjects of each begin; the organization comes next."""
USER_PREFIX, GATE_PREFIX = "sub_", "gate_"
"""No service's user begins so, and `_` is in no slug."""
ACK_WAIT_S = 30.0
MOST_FILTERS = 20
_TOKEN = re.compile(r"[A-Za-z0-9_-]+|\*")


class BadFilter(ValueError):
    """A filter names what a subscriber of the organization cannot have; the message says what it may."""


class Subscriber(Frozen):
    """One tool of one organization. Raises `ValidationError` where it would read anything but that organization's events."""

    organization: Slug
    name: Slug
    id: str
    """Another subscriber of the same name has another."""
    subjects: tuple[str, ...]
    password_hash: Annotated[str, StringConstraints(pattern=r"^\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}$")]
    """As nats-server takes it: bcrypt."""
    start: AwareDatetime | None = None
    """Where its consumer begins when it has to be made; None: the start of the stream."""
    gate: bool = False
    """It reads what its gate asks, and nothing else; and may answer."""

    @model_validator(mode="after")
    def _in_its_organization(self) -> Self:
        stream_of(self.organization, self.subjects)
        if self.gate and self.subjects != (asked_on(self.organization, self.name),):
            raise BadFilter(f"A gate reads {asked_on(self.organization, self.name)}.")
        return self

    @property
    def stream(self) -> str:
        """Where its subjects are."""
        return stream_of(self.organization, self.subjects)

    @property
    def user(self) -> str:
        """Its user on the bus, and the name of its consumer."""
        return f"{GATE_PREFIX if self.gate else USER_PREFIX}{self.organization}_{self.name}"

    @property
    def inbox(self) -> str:
        """The prefix of its inboxes: no other tool may read them."""
        return inbox_of_gate(self.organization, self.name) if self.gate else inbox_of(self.user)

    def rights(self) -> User:
        """All that its user may do: look at its consumer, ask it for messages, acknowledge them, and hear the answers. A gate: answer."""
        publish = (
            f"$JS.API.CONSUMER.INFO.{self.stream}.{self.user}",
            f"$JS.API.CONSUMER.MSG.NEXT.{self.stream}.{self.user}",
            f"$JS.ACK.{self.stream}.{self.user}.>",
            *((subject_of(self.organization, self.name),) if self.gate else ()),
        )
        return User(self.user, publish, (f"{self.inbox}.>",))

    def consumer(self) -> ConsumerConfig:
        """Its consumer: durable, pulled, acknowledged one by one, without an end to redelivery."""
        return ConsumerConfig(
            durable_name=self.user,
            description=self.id,
            deliver_policy=DeliverPolicy.ALL if self.start is None else DeliverPolicy.BY_START_TIME,
            opt_start_time=self.start,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT_S,
            max_deliver=-1,
            max_ack_pending=1000,
            filter_subjects=list(self.subjects),
        )


class Subscribers(Frozen):
    """Everyone who shall be able to read, as the one who keeps them says it to the one who lets them in."""

    subscribers: tuple[Subscriber, ...] = ()


def inbox_of_gate(organization: str, name: str) -> str:
    """The inbox prefix of a gate."""
    return f"{GATE_INBOXES}.{organization}_{name}"


def asked_on(organization: str, gate: str) -> str:
    """Where a gate's tool is asked, whatever the project and the environment."""
    return f"slipway.evt.{organization}.*.*.gate.requested.{gate}"


def stream_of(organization: str, subjects: Sequence[str]) -> str:
    """The one stream that these filters are in; raises `BadFilter`."""
    if not 0 < len(subjects) <= MOST_FILTERS:
        raise BadFilter(f"A subscriber has 1 to {MOST_FILTERS} filters.")
    streams = {_stream_of_one(organization, subject) for subject in subjects}
    if len(streams) > 1:
        raise BadFilter(
            f"A subscriber reads one stream: filters begin with slipway.evt.{organization}, or all with cdevents.{organization}."
        )
    for one, other in combinations(subjects, 2):
        if overlap(one.split("."), other.split(".")):
            raise BadFilter(f"{one} and {other} overlap: leave out the narrower one.")
    return streams.pop()


def _stream_of_one(organization: str, subject: str) -> str:
    *tokens, last = subject.split(".")
    for stream, prefix in PREFIXES.items():
        own = [*prefix.split("."), organization]
        if tokens[: len(own)] == own and all(_TOKEN.fullmatch(token) for token in tokens) and (last == ">" or _TOKEN.fullmatch(last)):
            return stream
    may = " or ".join(f"{prefix}.{organization}.>" for prefix in PREFIXES.values())
    raise BadFilter(
        f"{subject} is no filter for events of {organization}: it may be {may}, or narrower, as slipway.evt.{organization}.todo.>"
    )


def overlap(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether some subject matches both filters (by their tokens)."""
    for mine, theirs in zip(one, other, strict=False):
        if ">" in (mine, theirs):
            return True
        if "*" not in (mine, theirs) and mine != theirs:
            return False
    return len(one) == len(other)
