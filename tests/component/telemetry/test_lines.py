"""What an operator reads in the logs, held against what is counted."""

import json
from typing import Any

import pytest
from prometheus_client import REGISTRY

from tests.component.coordinator.world import world
from tests.unit.coordinator.scenario import fails


def counted(name: str) -> float:
    """A counter over all its labels."""
    return sum(sample.value for family in REGISTRY.collect() for sample in family.samples if sample.name == name)


async def test_every_attempt_and_compensation_is_counted_and_has_a_line(
    nats_url: str, postgres_dsn: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each command that was sent has a line of its worker's with the attempt; so have each retry and the turn back."""
    attempts, compensations = counted("slipway_step_attempts_total"), counted("slipway_compensations_total")
    async with world(nats_url, postgres_dsn) as made:
        made.script = fails("check-container-web", may_pass=True)
        await made.push("a")
        await made.event("DeploymentRolledBack", within=60)
    lines: list[dict[str, Any]] = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith("{")]
    tried = [line for line in lines if line["event"] in ("command done", "command not done")]
    assert len(tried) == counted("slipway_step_attempts_total") - attempts
    assert all({"deployment", "step", "direction", "attempt", "seconds"} <= line.keys() for line in tried)
    failed = [line["attempt"] for line in tried if line["event"] == "command not done"]
    assert failed == list(range(1, len(failed) + 1))
    assert len(failed) > 1
    assert [line["event"] for line in lines].count("StepRetried") == len(failed) - 1
    assert [line["event"] for line in lines].count("CompensationStarted") == counted("slipway_compensations_total") - compensations == 1
