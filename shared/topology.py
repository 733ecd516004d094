"""The bus as it shall be: streams, durable consumers, and what each service's user may touch. One table each.

Made by one admin step (`declare`), never by the services.
"""

import json
from dataclasses import dataclass

from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DiscardPolicy,
    RetentionPolicy,
    StreamConfig,
)
from nats.js.errors import NotFoundError

from shared.contracts.events import fact_name_parts
from shared.contracts.facts import FACTS
from shared.contracts.steps import pools_of

DAY = 86_400.0
PARTICIPANTS = ("auth", "builder", "deployer")
WORKERS = {"builds": 2, "effects": 8, "waits": 16, "undos": 8}
"""How many commands of a pool one participant works at, all replicas together (`max_ack_pending`)."""
ACK_WAIT_S = 15.0
"""A worker says `in_progress` well within this; after it a command is given to another."""


AGAIN = "slipway.again"
"""Where dead letters come again: `slipway.again.<stream>.<durable>.<letter>`, in the stream, for that durable alone."""


def again_subject(stream: str, durable: str, letter: str) -> str:
    """The subject of a dead letter that comes again. One a letter: COMMANDS holds one message a subject."""
    return f"{AGAIN}.{stream}.{durable}.{letter}"


def is_again(subject: str) -> bool:
    """Whether a message on this subject is a dead letter that comes again."""
    return subject.startswith(f"{AGAIN}.")


def streams() -> tuple[StreamConfig, ...]:
    """Every stream, as DESIGN's table has it; those that a service reads also take what it gave up and is to take again."""
    return tuple(_with_again(stream) if stream.name in _COMES_AGAIN else stream for stream in _streams())


_COMES_AGAIN = ("CHANGES", "REQUESTS", "COMMANDS", "RESULTS", "EVENTS", "LOGS", "CDEVENTS")


def _with_again(stream: StreamConfig) -> StreamConfig:
    return stream.evolve(subjects=[*(stream.subjects or ()), f"{AGAIN}.{stream.name}.>"])


def _streams() -> tuple[StreamConfig, ...]:
    work_queue = RetentionPolicy.WORK_QUEUE
    return (
        StreamConfig(name="CHANGES", subjects=["slipway.chg.>"], retention=work_queue),
        StreamConfig(name="REQUESTS", subjects=["slipway.req.>"], retention=work_queue),
        StreamConfig(
            name="COMMANDS",
            subjects=["slipway.cmd.>"],
            max_msgs_per_subject=1,
            discard=DiscardPolicy.NEW,
            discard_new_per_subject=True,
            retention=work_queue,
        ),
        StreamConfig(name="RESULTS", subjects=["slipway.res.>"], retention=work_queue),
        StreamConfig(
            name="EVENTS",
            subjects=["slipway.evt.>"],
            max_age=30 * DAY,
            allow_direct=True,
        ),
        StreamConfig(name="LOGS", subjects=["slipway.log.>"], max_age=DAY, max_bytes=2 * 1024**3, allow_direct=True),
        StreamConfig(name="CDEVENTS", subjects=["cdevents.>"], max_age=30 * DAY, allow_direct=True),
        StreamConfig(name="DEADLETTERS", subjects=["slipway.dead.>"], max_age=30 * DAY),
    )


@dataclass(frozen=True)
class Durable:
    """One durable pull consumer, and the service that reads it."""

    name: str
    stream: str
    service: str
    filters: tuple[str, ...]
    max_ack_pending: int = 1000

    def config(self) -> ConsumerConfig:
        """As JetStream wants it."""
        return ConsumerConfig(
            durable_name=self.name,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT_S,
            max_deliver=-1,
            max_ack_pending=self.max_ack_pending,
            filter_subjects=[*self.filters, *((again_subject(self.stream, self.name, ">"),) if self.stream in _COMES_AGAIN else ())],
        )


def command_durable(target: str, participant: str, pool: str) -> str:
    """The name of the durable that brings a participant its commands."""
    return f"{target}-{participant}-{pool}" if target != "_" else f"{participant}-{pool}"


def durables(target: str = "local") -> tuple[Durable, ...]:
    """Every durable consumer, for one target."""
    of_commands = tuple(
        Durable(
            command_durable(where, participant, pool),
            "COMMANDS",
            participant,
            (f"slipway.cmd.{where}.{participant}.{pool}.>",),
            WORKERS[pool],
        )
        for participant in PARTICIPANTS
        for where in ("_" if participant == "auth" else target,)
        for pool in pools_of(participant)
    )
    return (
        *of_commands,
        Durable("coordinator-changes", "CHANGES", "coordinator", ("slipway.chg.>",)),
        Durable("coordinator-requests", "REQUESTS", "coordinator", ("slipway.req.>",)),
        Durable("coordinator-results", "RESULTS", "coordinator", ("slipway.res.>",), 5000),
        Durable("webhooks-settled", "EVENTS", "webhooks", ("slipway.evt.*.*.*.change.*",)),
        Durable("notifier-events", "EVENTS", "notifier", ("slipway.evt.>",)),
        Durable("api-events", "EVENTS", "api", ("slipway.evt.>",), 5000),
        Durable("api-cdevents", "CDEVENTS", "api", ("cdevents.>",), 5000),
        Durable("api-logs", "LOGS", "api", ("slipway.log.>",), 5000),
        Durable("api-deadletters", "DEADLETTERS", "api", ("slipway.dead.>",)),
    )


@dataclass(frozen=True)
class User:
    """One service's user on the bus, and the subjects that it may publish to and subscribe to."""

    name: str
    publish: tuple[str, ...]
    subscribe: tuple[str, ...]

    @property
    def inbox(self) -> str:
        """The prefix of this user's inboxes: nobody else may read them."""
        return inbox_of(self.name)

    def entry(self, password: str) -> str:
        """As it stands in `authorization.users` of a nats-server's configuration. A bcrypt hash is taken for what it is."""
        permissions = {"publish": {"allow": self.publish}, "subscribe": {"allow": self.subscribe}}
        return json.dumps({"user": self.name, "password": password, "permissions": permissions})


def inbox_of(user: str) -> str:
    """The inbox prefix of a user."""
    return f"_INBOX_{user}"


GATE_INBOXES = "_INBOX_gate"
"""What the inboxes of all gates begin with: api may answer there, and nowhere else."""

_EVENTS: dict[str, tuple[str, ...]] = {"api": ("catalogue", "message"), "notifier": ("notification",)}
"""Of what services tell events, besides the coordinator, which tells those of all other nouns."""


NAMED = "gate"
"""Subjects of such events end with a name."""


def events_of(service: str) -> tuple[str, ...]:
    """The nouns of the events that a service may publish: nobody tells another's."""
    if service != "coordinator":
        return _EVENTS.get(service, ())
    nouns = {fact_name_parts(name).partition(".")[0] for name in FACTS}
    return tuple(sorted(nouns.difference(*_EVENTS.values())))


_OWN_PUBLISH: dict[str, tuple[str, ...]] = {
    "webhooks": (
        "slipway.chg.>",
        "slipway.told._webhooks.>",
        "$JS.API.DIRECT.GET.EVENTS",
        "$JS.API.DIRECT.GET.LOGS",
    ),
    "auth": ("slipway.res._.auth.>", "slipway.beat._.>"),
    "coordinator": (
        "slipway.cmd.>",
        "slipway.cancel.>",
        "$JS.API.STREAM.MSG.GET.COMMANDS",
        "$JS.API.STREAM.MSG.DELETE.COMMANDS",
    ),
    "builder": (
        "slipway.res.{target}.builder.>",
        "slipway.beat.{target}.>",
        "slipway.log.{target}.>",
    ),
    "deployer": (
        "slipway.told.{target}.>",
        "slipway.res.{target}.deployer.>",
        "slipway.beat.{target}.>",
        "slipway.log.{target}.>",
    ),
    "notifier": ("cdevents.>",),
    "api": (
        "slipway.req.>",
        "slipway.ask.>",
        f"{GATE_INBOXES}.>",
        f"{AGAIN}.>",  # worth nothing without the seal of the service that gave it up
        *(f"$JS.API.{what}" for stream in ("EVENTS", "CDEVENTS") for what in (f"CONSUMER.INFO.{stream}.*", f"DIRECT.GET.{stream}")),
    ),
}
_OWN_SUBSCRIBE: dict[str, tuple[str, ...]] = {
    "webhooks": ("slipway.evt.>", "slipway.log.>", "slipway.ask._webhooks"),
    "coordinator": ("slipway.beat.>",),
    "builder": ("slipway.cancel.{target}.>",),
    "deployer": ("slipway.cancel.{target}.>", "slipway.ask.{target}"),
    "api": ("slipway.told.>", "slipway.gate.*.*"),
    "auth": ("slipway.cancel._.>",),
}
_STREAMS_PUBLISHED: dict[str, tuple[str, ...]] = {
    "webhooks": ("CHANGES",),
    "auth": ("RESULTS",),
    "coordinator": ("COMMANDS", "EVENTS"),
    "builder": ("RESULTS", "LOGS"),
    "deployer": ("RESULTS", "LOGS"),
    "notifier": ("CDEVENTS", "EVENTS"),
    "api": _COMES_AGAIN,
}


def users(target: str = "local") -> tuple[User, ...]:
    """Every service's user; each may touch its own subjects and nothing else."""
    return tuple(_user(name, target) for name in _OWN_PUBLISH)


def _user(name: str, target: str) -> User:
    own = [durable for durable in durables(target) if durable.service == name]
    reads = [
        subject
        for durable in own
        for subject in (
            f"$JS.API.CONSUMER.INFO.{durable.stream}.{durable.name}",
            f"$JS.API.CONSUMER.MSG.NEXT.{durable.stream}.{durable.name}",
            f"$JS.ACK.{durable.stream}.{durable.name}.>",
        )
    ]
    publish = [
        *(subject.format(target=target) for subject in _OWN_PUBLISH[name]),
        *(f"$JS.API.STREAM.INFO.{stream}" for stream in sorted({d.stream for d in own} | set(_STREAMS_PUBLISHED[name]))),
        *(f"slipway.evt.*.*.*.{noun}.{'*.*' if noun == NAMED else '*'}" for noun in events_of(name)),
        *reads,
        f"slipway.dead.{name}",
        "$JS.API.INFO",
    ]
    subscribe = [
        *(subject.format(target=target) for subject in _OWN_SUBSCRIBE.get(name, ())),
        f"{inbox_of(name)}.>",
    ]
    return User(name, tuple(dict.fromkeys(publish)), tuple(subscribe))


async def declare(js: JetStreamContext, target: str = "local") -> None:
    """Makes or updates every stream and durable consumer; the caller is the admin user."""
    for stream in streams():
        try:
            await js.update_stream(stream)
        except NotFoundError:
            await js.add_stream(stream)
    for durable in durables(target):
        await js.add_consumer(durable.stream, durable.config())
