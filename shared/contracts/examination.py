"""What a person asks a target (`slipway doctor`), and what its deployer answers: on core NATS, where losing one is harmless.

Asked on `slipway.ask.<target>`, answered on `slipway.told.<target>.<id of the question>`, in parts of which the last one says so.
"""

from enum import StrEnum

from pydantic import Field

from shared.contracts.places import Place
from shared.contracts.releases import DatabaseSpec
from shared.messages import Frozen, Message, Slug


class Kind(StrEnum):
    """What differs."""

    CONTAINER = "container"
    NETWORK = "network"
    VOLUME = "volume"
    ROUTE = "route"
    CERTIFICATE = "certificate"
    RELEASE = "release"
    DATABASE = "database"
    DOMAIN = "domain"


class Difference(Frozen):
    """One object that is not as recorded."""

    place: Place | None = Field(default=None, description="None: it belongs to no environment that anything is known of")
    kind: Kind
    name: str
    what: str = Field(description="How it differs")
    remedy: str = Field(description="What mending does, or where that is not possible, what a person can do")
    mendable: bool = True


class Question(Message):
    """Compares what is recorded with what is there; mends the difference where that is asked for."""

    place: Place | None = Field(default=None, description="One environment; None asks for all, and for what belongs to none")
    mend: bool = False


class Told(Message):
    """A part of the answer."""

    number: int = Field(description="From 1")
    last: bool = False
    places: tuple[Place, ...] = Field(default=(), description="Environments that this part is about")
    differences: tuple[Difference, ...] = Field(default=(), description="After mending, where that was asked for")
    done: tuple[str, ...] = Field(default=(), description="What was mended")
    releases: dict[str, dict[Slug, str]] = Field(default={}, description="Environment (`o/p/e`) → service → release that is live there")
    databases: dict[str, dict[Slug, DatabaseSpec]] | None = Field(
        default=None, description="Environment → what its databases are recorded to be; None of a deployer that does not tell"
    )
    error: str = ""


def ask_subject(target: str) -> str:
    """Where a target is asked."""
    return f"slipway.ask.{target}"


def told_subject(target: str, question: str) -> str:
    """Where it answers."""
    return f"slipway.told.{target}.{question}"
