"""What an outside tool may read, worked out from its filters."""

import pytest
from pydantic import ValidationError

from shared.subscribers import BadFilter, Subscriber, asked_on, overlap, stream_of

HASH = "$2b$04$" + "a" * 53


def _subscriber(*subjects: str, name: str = "scanner", organization: str = "main") -> Subscriber:
    return Subscriber(organization=organization, name=name, id="1", subjects=subjects, password_hash=HASH)


@pytest.mark.parametrize(
    ("subject", "stream"),
    [
        ("slipway.evt.main.>", "EVENTS"),
        ("slipway.evt.main.todo.production.deployment.*", "EVENTS"),
        ("slipway.evt.main.*.*.image.built", "EVENTS"),
        ("slipway.evt.main._._.catalogue.changed", "EVENTS"),
        ("cdevents.main.>", "CDEVENTS"),
        ("cdevents.main.todo.service.deployed", "CDEVENTS"),
    ],
)
def test_a_filter_names_events_of_the_organization(subject: str, stream: str) -> None:
    """In one of the two streams for outside tools."""
    assert stream_of("main", [subject]) == stream


@pytest.mark.parametrize(
    "subject",
    [
        ">", "slipway.>", "slipway.evt.>", "slipway.evt.*.>", "slipway.evt.other.>", "slipway.evt.main", "slipway.evt.mainly.>",
        "cdevents.>", "cdevents.*.todo.build.started", "cdevents.main", "slipway.cmd.local.>", "slipway.again.EVENTS.>", "slipway.log.local.>",
        "slipway.evt.main.>.x", "slipway.evt.main..x", "slipway.evt.main.a*", "slipway.evt.main.a b", "slipway.evt.main.", "slipway.evt.main.ä",
        "", "$JS.API.>", 'slipway.evt.main."}',
    ],
)  # fmt: skip
def test_no_other_filter_is_taken(subject: str) -> None:
    """Not another organization's, not another stream's, and nothing that is no subject; also where a file says so."""
    with pytest.raises(BadFilter):
        stream_of("main", [subject])
    with pytest.raises(ValidationError):
        _subscriber(subject)


def test_filters_of_one_subscriber_are_in_one_stream_and_apart() -> None:
    """The server would take neither."""
    assert stream_of("main", ["slipway.evt.main.todo.>", "slipway.evt.main.blog.>"]) == "EVENTS"
    with pytest.raises(BadFilter, match="one stream"):
        stream_of("main", ["slipway.evt.main.>", "cdevents.main.>"])
    with pytest.raises(BadFilter, match="overlap"):
        stream_of("main", ["slipway.evt.main.*.production.>", "slipway.evt.main.todo.>"])
    with pytest.raises(BadFilter):
        stream_of("main", [])


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("a.b", "a.b", True),
        ("a.*", "a.b", True),
        ("a.>", "a.b.c", True),
        ("a.b", "a.c", False),
        ("a.b", "a.b.c", False),
        ("a.*.c", "a.b.*", True),
    ],
)
def test_whether_filters_overlap(one: str, other: str, expected: bool) -> None:
    """Token by token, both ways."""
    assert overlap(one.split("."), other.split(".")) is overlap(other.split("."), one.split(".")) is expected


def test_its_rights_are_its_consumer_and_its_inbox() -> None:
    """And nothing else."""
    rights = _subscriber("slipway.evt.main.>").rights()
    assert rights.publish == (
        "$JS.API.CONSUMER.INFO.EVENTS.sub_main_scanner",
        "$JS.API.CONSUMER.MSG.NEXT.EVENTS.sub_main_scanner",
        "$JS.ACK.EVENTS.sub_main_scanner.>",
    )
    assert rights.subscribe == ("_INBOX_sub_main_scanner.>",)


def test_no_two_subscribers_share_a_user() -> None:
    """Slugs hold hyphens, so their border is something else."""
    one = _subscriber("slipway.evt.a-b.>", organization="a-b", name="c")
    other = _subscriber("slipway.evt.a.>", organization="a", name="b-c")
    assert one.user != other.user


def test_a_password_is_never_taken_for_a_hash() -> None:
    """What stands in the server's table is a hash in any case."""
    with pytest.raises(ValidationError):
        Subscriber(organization="main", name="x", id="1", subjects=("cdevents.main.>",), password_hash="plain")


def _gate(*subjects: str, name: str = "scanner") -> Subscriber:
    return Subscriber(organization="main", name=name, id="1", subjects=subjects or (asked_on("main", name),), password_hash=HASH, gate=True)


def test_a_gates_rights_are_its_questions_and_its_answers() -> None:
    """And nothing else; a subscriber of the same name is another user, with another inbox."""
    gate = _gate()
    assert gate.consumer().filter_subjects == ["slipway.evt.main.*.*.gate.requested.scanner"]
    assert gate.rights().publish == (
        "$JS.API.CONSUMER.INFO.EVENTS.gate_main_scanner",
        "$JS.API.CONSUMER.MSG.NEXT.EVENTS.gate_main_scanner",
        "$JS.ACK.EVENTS.gate_main_scanner.>",
        "slipway.gate.main.scanner",
    )
    assert gate.rights().subscribe == ("_INBOX_gate.main_scanner.>",)
    assert gate.user != _subscriber("slipway.evt.main.>").user


@pytest.mark.parametrize(
    "subject", ["slipway.evt.main.>", "slipway.evt.main.*.*.gate.requested.*", "slipway.evt.main.*.*.gate.requested.ticket"]
)
def test_a_gate_reads_what_it_is_asked_and_nothing_else(subject: str) -> None:
    """Whatever a file says."""
    with pytest.raises(ValidationError):
        _gate(subject)
