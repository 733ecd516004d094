"""What Prometheus gets from a running service."""

import httpx
from prometheus_client.parser import text_string_to_metric_families

from docs import metrics
from shared.authorities import nobody
from tests.component.coordinator.world import world
from tests.stack import free_port
from tests.unit.coordinator.scenario import fails


async def test_a_running_coordinator_tells_every_metric_that_is_documented(nats_url: str, postgres_dsn: str) -> None:
    """Names, types and labels are those of docs/metrics.md; deployments, steps and the outbox are counted."""
    port = free_port()
    async with world(nats_url, postgres_dsn, health_port=port) as made:
        await made.push("a")
        await made.event("DeploymentSucceeded")
        made.script = fails("check-container-web")
        await made.push("b")
        await made.event("DeploymentRolledBack")
        async with httpx.AsyncClient(verify=nobody()) as client:
            answer = await client.get(f"http://127.0.0.1:{port}/metrics")
    assert answer.status_code == 200
    found = {family.name: family for family in text_string_to_metric_families(answer.text)}

    for metric in metrics.documented():
        if metric.service not in {"every service", "coordinator"}:
            continue
        family = found[metric.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (metric.kind, metric.meaning)
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(metric.labels)

    told = {(sample.name, *sorted(sample.labels.values())): sample.value for family in found.values() for sample in family.samples}
    assert told["slipway_deployments_ended_total", "succeeded"] >= 1
    assert told["slipway_deployments_ended_total", "rolled_back"] >= 1
    assert told["slipway_compensations_total", "rolled_back"] >= 1
    assert told["slipway_deployments_live", "running"] == 0
    assert told["slipway_step_seconds_count", "do", "done", "switch"] >= 1
    assert told["slipway_step_seconds_count", "check-container", "do", "failed"] >= 1
    assert told["slipway_step_seconds_count", "deploy-container", "undo", "undone"] >= 1
    assert told["slipway_outbox_published_total", "COMMANDS", "coordinator"] > 0
    assert told["slipway_outbox_unsent_messages", "coordinator"] >= 0
