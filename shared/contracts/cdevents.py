"""CDEvents 0.5.1 (https://cdevents.dev): what Slipway tells outside tools in words that are not its own. Written by notifier.

On the bus: CloudEvents 1.0 in binary mode, as the CDEvents binding has it (`ce-id`, `ce-source`, `ce-type`, `ce-time` and
`ce-subject` repeat the context), the body is the whole CDEvent. Subject: `cdevents.<org>.<project>.<subject>.<predicate>`.
"""

import json
from datetime import datetime
from typing import Literal

from pydantic import ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel

from shared.messages import NONE, Frozen, Message, Slug

SPECIFICATION = "0.5.1"
TYPE_VERSION = "0.3.0"
"""Of each event type that is told: 0.5.1 has them all at this version."""


class _Camel(Frozen):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class ContextId(_Camel):
    """A CDEvent, by its context's id."""

    context_id: str


class Link(_Camel):
    """How an event belongs to another: PATH from what came before it, END of what began there, RELATION to something beside."""

    link_type: Literal["PATH", "END", "RELATION"]
    link_kind: str | None = None
    origin: ContextId | None = Field(default=None, alias="from")
    target: ContextId | None = None


class Context(_Camel):
    """Which event it is. `chain_id` is the same in all events of a deployment."""

    specversion: str = SPECIFICATION
    id: str
    source: str
    type: str
    timestamp: datetime
    chain_id: str
    links: tuple[Link, ...] = ()


class Subject(_Camel):
    """What it is about."""

    id: str
    source: str
    content: dict[str, JsonValue] = {}


class Origin(_Camel):
    """Slipway's own event, which it was made of."""

    event: str
    name: str
    sequence: int | None = Field(default=None, description="Within the deployment: what is smaller came before")
    organization: Slug
    project: Slug | None = None
    environment: Slug | None = None
    deployment: str | None = None


class CDEvent(_Camel):
    """One event, as outside tools read it."""

    context: Context
    subject: Subject
    custom_data: Origin
    custom_data_content_type: str = "application/json"

    @property
    def kind(self) -> str:
        """Subject and predicate: `build.started`."""
        return ".".join(self.context.type.split(".")[2:4])


def structured(body: bytes | str) -> dict[str, JsonValue]:
    """A CDEvent as it is on the bus, as CloudEvents 1.0 JSON (structured mode): context attributes, and the whole CDEvent as `data`.

    Raises `pydantic.ValidationError` where it is none.
    """
    event = CDEvent.model_validate_json(body)
    return {
        "specversion": "1.0",
        "id": event.context.id,
        "source": event.context.source,
        "type": event.context.type,
        "subject": event.subject.id,
        "time": event.context.timestamp.isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": json.loads(body),
    }


class OutsideEvent(Message):
    """A CDEvent on its way. Its id is made of what it tells, so that the same is told under the same id however often."""

    document: CDEvent

    def encode(self) -> bytes:
        """The body on the wire: the CDEvent alone."""
        return self.document.model_dump_json(by_alias=True, exclude_none=True).encode()

    def headers(self, source: str, *, message_id: str | None = None) -> dict[str, str]:
        """As the CloudEvents binding of CDEvents has them."""
        context = self.document.context
        about = {"ce-source": context.source, "ce-type": context.type, "ce-subject": self.document.subject.id}
        return super().headers(source, message_id=message_id) | about

    @property
    def bus_subject(self) -> str:
        """Where it is published."""
        origin = self.document.custom_data
        return f"cdevents.{origin.organization}.{origin.project or NONE}.{self.kind}"

    @property
    def kind(self) -> str:
        """As the document says it."""
        return self.document.kind


KINDS: dict[str, str] = {
    "change.merged": "A push to a branch was taken. Subject: the commit.",
    "pipelinerun.queued": "A deployment exists. Subject: its id, as in all of the pipeline run.",
    "pipelinerun.started": "It may deploy: a rule or a person let it.",
    "pipelinerun.finished": "It ended: success, failure (rolled back, or failed before anything was touched) or cancel (denied, superseded too).",
    "taskrun.started": "A step, or the undo of one, was taken by a worker. Subject: the deployment and the step.",
    "taskrun.finished": "It ended: success or failure.",
    "build.queued": "The source names a service whose image is built.",
    "build.started": "A worker builds it.",
    "build.finished": "It ended; with an artifact where it went well.",
    "artifact.packaged": "A new image is in the registry. Subject: its package URL.",
    "artifact.published": "The target can pull it.",
    "environment.created": "An environment was added to the catalogue. Subject: project/environment.",
    "environment.modified": "It was changed there.",
    "environment.deleted": "It is gone.",
    "service.deployed": "A service that was not there before takes traffic. Subject: project/environment/service.",
    "service.upgraded": "Another release of it takes traffic.",
    "service.rolledback": "A former release takes the traffic again.",
    "service.removed": "It is gone.",
    "incident.detected": "People see a failure: the public address does not answer from the new release, or the deployment is stuck.",
    "incident.resolved": "The former release takes the traffic again, or the deployment is stuck no more.",
}
"""What is told, and when."""
