"""What the coordinator reads from the bus."""

import pytest

from services.coordinator.app import decode_answer
from shared.contracts.answers import Answer, Outcome
from shared.contracts.commands import Direction


def test_an_answer_speaks_only_for_the_participant_and_target_of_its_subject() -> None:
    """The bus checks subjects, not bodies: a builder that names itself deployer is not heard, nor one target in another's name."""
    said = Answer(
        deployment="d1", step="switch-web", target="local", participant="deployer", direction=Direction.DO, attempt=1, outcome=Outcome.DONE
    )
    assert decode_answer("slipway.res.local.deployer.d1-switch-web", {}, said.encode()).step == "switch-web"
    for subject in ("slipway.res.local.builder.d1-switch-web", "slipway.res.other.deployer.d1-switch-web", "slipway.res"):
        with pytest.raises(ValueError, match="cannot come on"):
            decode_answer(subject, {}, said.encode())
