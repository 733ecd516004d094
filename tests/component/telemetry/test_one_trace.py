"""One deployment is one trace, as an OpenTelemetry collector gets it."""

from dataclasses import replace

from opentelemetry.trace import SpanKind

from bench import five_steps
from services.coordinator.deployments import create
from shared.contracts.answers import Failure
from shared.contracts.commands import AuthorizeDeployment, Command
from shared.contracts.places import Place
from shared.telemetry import span
from tests.collector import assert_one_tree, collector
from tests.component.coordinator.world import world
from tests.unit.coordinator.scenario import fails


async def test_a_deployment_is_one_tree_from_the_push_to_the_participants_work(nats_url: str, postgres_dsn: str) -> None:
    """Push → deployment → steps → what auth, builder and deployer did, with OpenTelemetry's names and the times of the events."""
    with collector() as heard:
        async with world(nats_url, postgres_dsn, otlp_endpoint=heard.endpoint) as made:
            with span("push received", kind=SpanKind.PRODUCER):
                await made.push("a")
            done = await made.event("DeploymentSucceeded")
        root = assert_one_tree(heard.spans)
        assert root.name == "push received"

        deployment = heard.named("deploy main/todo/production")
        assert heard.path(deployment) == ["push received", "take change", "deploy main/todo/production"]
        assert deployment.attributes["cicd.pipeline.run.id"] == deployment.attributes["deployment.id"] == done.deployment
        assert deployment.attributes["cicd.pipeline.result"] == "success"
        assert deployment.attributes["vcs.ref.head.name"] == "main"
        assert deployment.attributes["vcs.ref.head.revision"] == "a" * 40
        assert deployment.attributes["deployment.environment.name"] == "production"
        assert abs((deployment.end - deployment.begin) / 1e9 - float(str(done.data["seconds"]))) < 0.01

        steps = {str(step.attributes["cicd.pipeline.task.name"]): step for step in heard.having("cicd.pipeline.task.name")}
        assert {command.step for command in made.commands} == set(steps)
        assert all(step.parent == deployment.id for step in steps.values())
        assert all(deployment.begin <= step.begin <= step.end <= deployment.end for step in steps.values())

        work = {str(one.attributes["slipway.step"]): one for one in heard.having("slipway.participant")}
        assert {one.attributes["slipway.participant"] for one in work.values()} == {"auth", "builder", "deployer"}
        assert all(one.parent == steps[str(one.attributes["slipway.step"])].id for one in work.values())
        taken = heard.named("TrafficSwitched")
        assert heard.path(taken)[-3:] == ["switch traffic web", "SwitchTraffic do", "TrafficSwitched"]


async def test_a_roll_back_shows_what_failed_and_every_undo(nats_url: str, postgres_dsn: str) -> None:
    """The failed step and the deployment are errors; each undo is a span of its own beside the steps; a retried step is one span."""

    def script(command: Command) -> Failure | None:
        if isinstance(command, AuthorizeDeployment) and command.attempt == 1:
            return Failure(code="away", message="the database is away", may_pass=True)
        return fails("check-container-web")(command)  # type: ignore[return-value]

    with collector() as heard:
        async with world(nats_url, postgres_dsn, otlp_endpoint=heard.endpoint) as made:
            made.script = script
            with span("push received", kind=SpanKind.PRODUCER):
                await made.push("a")
            await made.event("DeploymentRolledBack")
        assert_one_tree(heard.spans)
        deployment = heard.named("deploy main/todo/production")
        assert deployment.failed
        assert deployment.attributes["slipway.deployment.state"] == "rolled_back"
        assert [step.name for step in heard.having("cicd.pipeline.task.name") if step.failed] == ["check container web"]
        undone = {
            str(one.attributes["cicd.pipeline.task.name"])
            for one in heard.having("cicd.pipeline.task.name")
            if one.name.startswith("undo: ")
        }
        assert undone == {command.step for command in made.commands if command.direction == "undo"}
        assert heard.named("check permissions").attributes["slipway.step.attempts"] == 2


async def test_one_transaction_keeps_the_traces_of_two_deployments_apart(nats_url: str, postgres_dsn: str) -> None:
    """Every message carries the trace of its own deployment, whichever span is current when it is written."""
    async with world(nats_url, postgres_dsn) as made:
        async with made.coordinator.work() as work:
            for arrival in (1, 2):
                with span("push received"):
                    place = Place(organization="main", project=f"p{arrival}", environment="production")
                    await create(work, replace(five_steps.origin(arrival), place=place), cause="a push")
        rows = await made.coordinator.pool.fetch(
            "SELECT body::json ->> 'deployment' AS deployment, split_part(headers ->> 'traceparent', '-', 2) AS trace, count(*) "
            "FROM outbox GROUP BY 1, 2"
        )
        assert len(rows) == len({row["deployment"] for row in rows}) == len({row["trace"] for row in rows}) == 2
        assert all(row["trace"] and row["count"] >= 2 for row in rows)
