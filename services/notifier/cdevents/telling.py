"""One event of Slipway on its way to become CDEvents: ids, links and context are made here, the same way for all. Pure."""

from dataclasses import dataclass

from pydantic import JsonValue

from shared.contracts.cdevents import TYPE_VERSION, CDEvent, Context, ContextId, Link, Origin, OutsideEvent, Subject
from shared.contracts.events import Event


@dataclass(frozen=True)
class Telling:
    """The event, and what is known of its deployment. `commit` and `public_url` are empty where they are not known."""

    event: Event
    commit: str = ""
    public_url: str = ""
    change: str = ""
    """Where it tells of a change, and of no deployment."""

    @property
    def run(self) -> str:
        """The pipeline run: the deployment, or what stands for it where the event belongs to none."""
        return self.change or self.event.deployment or self.event.id

    @property
    def uri(self) -> str:
        """The deployment's page."""
        return f"{self.public_url.rstrip('/')}/deployments/{self.run}" if self.public_url else f"urn:slipway:deployment:{self.run}"

    @property
    def pipeline(self) -> str:
        """The pipeline's name: that of the environment."""
        return f"{self.event.project}/{self.event.environment}"

    @property
    def source(self) -> str:
        """Where the events of a project come from, as URI reference."""
        return "/".join(("slipway", self.event.organization, *((self.event.project,) if self.event.project else ())))

    @property
    def environment(self) -> dict[str, JsonValue]:
        """The environment, as others refer to it."""
        return {"id": self.pipeline, "source": self.source}

    @property
    def task(self) -> str:
        """The step's task run, of its direction."""
        return f"{self.event.step}.undo" if self.event.outcome in UNDOING else f"{self.event.step}"

    def told(
        self, kind: str, subject: str, content: dict[str, JsonValue] | None = None, *, about: str = "", links: tuple[Link, ...] = ()
    ) -> OutsideEvent:
        """The CDEvent of a kind (`build.started`). `about` tells it from others of its kind in the deployment."""
        identity = self.context_id(kind, about)
        event = self.event
        document = CDEvent(
            context=Context(
                id=identity,
                source=self.source,
                type=f"dev.cdevents.{kind}.{TYPE_VERSION}",
                timestamp=event.time,
                chain_id=self.run,
                links=links,
            ),
            subject=Subject(id=subject, source=self.source, content=content or {}),
            custom_data=Origin(
                event=event.id,
                name=event.name,
                sequence=event.sequence,
                organization=event.organization,
                project=event.project,
                environment=event.environment,
                deployment=event.deployment,
            ),
        )
        return OutsideEvent(id=identity, time=event.time, cause=event.id, deployment=event.deployment, step=event.step, document=document)

    def context_id(self, kind: str, about: str = "") -> str:
        """The id of an event of the same deployment."""
        return ".".join(part for part in (self.run, kind, about) if part)

    def after(self, kind: str, about: str = "") -> tuple[Link, ...]:
        """It came after that event of the deployment."""
        return (Link(link_type="PATH", origin=ContextId(context_id=self.context_id(kind, about))),)

    def ends(self, kind: str, about: str = "") -> tuple[Link, ...]:
        """It is the end of what began with that event."""
        return (Link(link_type="END", origin=ContextId(context_id=self.context_id(kind, about))),)


UNDOING = ("undoing", "undone", "undo_failed")
"""Outcomes of a step's way back."""


def related(kind: str, context_id: str) -> tuple[Link, ...]:
    """It belongs to that event, in a way that the kind names."""
    return (Link(link_type="RELATION", link_kind=kind, target=ContextId(context_id=context_id)),)
