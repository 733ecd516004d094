"""What the readers of streams do with messages of a version that they do not know: replicas of another version may be beside them."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from services.api.archive import decode_cdevent, decode_event, decode_lines
from services.coordinator.app import decode_answer
from services.notifier.handlers import decode as decode_notifier
from services.webhooks.handlers import decode as decode_webhooks
from shared.contracts.answers import Answer, Outcome
from shared.contracts.cdevents import CDEvent, Context, Origin, OutsideEvent, Subject
from shared.contracts.commands import Direction
from shared.contracts.events import Event
from shared.contracts.facts import DeploymentAuthorized
from shared.contracts.logs import LogLines
from shared.messages import Message, UnknownType

Decode = Callable[[str, dict[str, str], bytes], object]

SAID = Answer(
    deployment="d1", step="push-web", target="local", participant="builder", direction=Direction.DO, attempt=1, outcome=Outcome.DONE
)
SUBJECT = "slipway.res.local.builder.d1-push-web"
TOLD = Event.of(DeploymentAuthorized(rule="owner"), "main")
LINES = LogLines(deployment="d1", step="push-web", attempt=1, first=1, lines=("one",))
OUTSIDE = OutsideEvent(
    document=CDEvent(
        context=Context(id="c1", source="/slipway", type="dev.cdevents.build.started.0.3.0", timestamp=datetime.now(UTC), chain_id="d1"),
        subject=Subject(id="b1", source="/slipway"),
        custom_data=Origin(event="e1", name="StepStarted", organization="main"),
    )
)
READERS = pytest.mark.parametrize(
    ("decode", "message"),
    [
        pytest.param(decode_answer, SAID, id="results"),
        pytest.param(decode_event, TOLD, id="archive"),
        pytest.param(decode_notifier, TOLD, id="notifier"),
        pytest.param(decode_webhooks, TOLD, id="webhooks"),
        pytest.param(decode_lines, LINES, id="logs"),
        pytest.param(decode_cdevent, OUTSIDE, id="cdevents"),
    ],
)


def newer(message: Message) -> dict[str, str]:
    """Its headers, of the next version."""
    headers = message.headers("x")
    name, dot, version = headers["ce-type"].replace(".0.3.0", ".0.4.0").rpartition(".")
    return headers | {"ce-type": name + dot + version.replace("v1", "v2")}


@READERS
def test_a_message_of_its_own_version_is_read(decode: Decode, message: Message) -> None:
    """It is as ever."""
    assert decode(SUBJECT, message.headers("x"), message.encode())


@READERS
def test_what_cannot_be_read_is_left_to_newer_replicas_where_it_is_of_another_version(decode: Decode, message: Message) -> None:
    """One of its own version, and one that claims none, is nonsense for all of them."""
    with pytest.raises(UnknownType):
        decode(SUBJECT, newer(message), b'{"id": "x"}')
    claims: list[Mapping[str, str]] = [message.headers("x"), {}]
    for headers in claims:
        with pytest.raises(ValidationError):
            decode(SUBJECT, dict(headers), b'{"id": "x"}')


@pytest.mark.parametrize("decode", [decode_event, decode_notifier, decode_webhooks])
def test_an_event_of_a_newer_version_is_not_taken_for_what_it_was_before(decode: Decode) -> None:
    """Its body may still read, and mean something else, or say more: the archive would keep it without what it does not know."""
    with pytest.raises(UnknownType):
        decode("slipway.evt.main._._.deployment.authorized", newer(TOLD), TOLD.encode())


@pytest.mark.parametrize("decode", [decode_event, decode_notifier, decode_webhooks])
def test_a_fact_that_is_not_known_is_an_event_all_the_same(decode: Decode) -> None:
    """Its type names the fact, and its version is the event's: the archive keeps facts of newer services, and who follows others reads over them."""
    told = TOLD.model_copy(update={"name": "MoonReached"})
    assert decode("slipway.evt.main._._.moon.reached", told.headers("x"), told.encode()) == told


def test_an_answer_of_a_newer_version_is_not_taken_for_what_it_was_before() -> None:
    """Nor anything else that comes where answers do."""
    for name in ("slipway.Answer.v2", "slipway.Progress.v1"):
        with pytest.raises(UnknownType):
            decode_answer(SUBJECT, SAID.headers("x") | {"ce-type": name}, SAID.encode())


def test_a_cdevent_of_a_newer_version_is_kept_as_it_came() -> None:
    """To the byte, where it says what it is: whoever reads it from the archive gets what was told."""
    body = OUTSIDE.encode().replace(b"0.3.0", b"0.4.0").replace(b'"content":{}', b'"content":{},"mood":"good"')
    kept = decode_cdevent("cdevents.main._.build.started", newer(OUTSIDE), body)
    assert kept.body.encode() == body
