"""Child processes: how their ends are told."""

import pytest

from embedded.processes import Outcome


@pytest.mark.parametrize(
    ("code", "said"),
    [(0, "exit code 0"), (3, "exit code 3"), (-9, "ended by SIGKILL"), (-40, "ended by signal 40")],
)
def test_every_end_can_be_told(code: int, said: str) -> None:
    """Real-time signals have no names, and end a child all the same."""
    assert str(Outcome(code)) == said
