"""What strikes say on the bus, and when it counts as said in time."""

from typing import cast

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from shared.contracts.answers import Answer, Outcome
from shared.contracts.commands import Direction
from tests.faults.strikes import answers
from tests.faults.strikes.books import OURS


def said(outcome: Outcome, step: str = "build-web", deployment: str = "d1") -> Msg:
    """As the builder says it."""
    answer = Answer(
        deployment=deployment, step=step, target="local", participant="builder", direction=Direction.DO, attempt=1, outcome=outcome
    )
    subject = f"slipway.res.local.builder.{deployment}-{step}"
    return Msg(cast("Client", None), subject=subject, data=answer.encode(), headers=answer.headers("builder"))


def sent(message: answers.Wire) -> Msg:
    """As the watch sees it."""
    return Msg(cast("Client", None), subject=message.subject, data=message.body, headers=message.headers)


def test_an_answer_said_again_is_another_message() -> None:
    """The inbox goes by the id in the body, the stream by its own, and letters are told by the header: all three are new."""
    was = answers.read([said(Outcome.DONE)])[0]
    again = was.again(7, {"attempt": 99})
    found = Answer.decode(again.body)
    assert found.id == again.headers["ce-id"] == again.headers["Nats-Msg-Id"] == f"{OURS}7" != was.answer.id
    assert found == was.answer.model_copy(update={"id": found.id, "attempt": 99})


def test_a_step_is_at_work_from_its_acceptance_to_its_end() -> None:
    """Of all that passed; what strikes said themselves ends nothing, readable or not."""
    accepted = said(Outcome.ACCEPTED)
    own = answers.read([accepted])[0]
    nonsense = [sent(own.again(1, {"outcome": "done"})), sent(own.again(2, {"outcome": "perhaps"}))]
    assert list(answers.at_work([said(Outcome.ACCEPTED, "push-web"), accepted, *nonsense, said(Outcome.DONE, "push-web")])) == [own.step]
    assert not answers.at_work([accepted, said(Outcome.FAILED)])


@pytest.mark.parametrize(("before", "expected"), [([], True), ([said(Outcome.DONE)], False)])
def test_what_comes_after_the_end_of_a_step_is_not_in_time(before: list[Msg], expected: bool) -> None:
    """The step was at work when it was aimed at; it counts what had passed before the message did."""
    accepted = said(Outcome.ACCEPTED)
    own = answers.read([accepted])[0]
    message = own.again(3)
    seen = [accepted, *before, sent(message), said(Outcome.DONE)]
    assert answers.in_time(seen, {message.name}, {own.step}) is expected
    assert not answers.in_time(seen, {f"{OURS}4"}, {own.step})
