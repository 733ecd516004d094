"""Several services in one repository, on the real database: what is kept has no step, and where a roll-back leads."""

from shared.contracts.events import Event
from shared.contracts.manifest import Manifest, ServiceManifest
from shared.contracts.requests import RollbackRequested
from tests.component.coordinator.world import PLACE, World, world

SHOP = Manifest(services={"api": ServiceManifest(port=3000), "site": ServiceManifest(port=3001)})


async def deployed(made: World, commit: str, count: int, **trees: str) -> Event:
    """Pushes a commit with these trees and waits for its end."""
    made.trees |= trees
    await made.push(commit)
    return await made.event("DeploymentSucceeded", count=count)


def services_of(made: World, deployment: str | None) -> set[str]:
    """The services that got any command."""
    return {
        name for name in SHOP.services for command in made.commands if command.deployment == deployment and f"-{name}" in str(command.step)
    }


async def test_only_what_changed_gets_commands(nats_url: str, postgres_dsn: str) -> None:
    """From the build to the retirement; a push that changes nothing gets none, and says so."""
    async with world(nats_url, postgres_dsn) as made:
        made.manifest = SHOP
        first = await deployed(made, "a", 1, api="1", site="1")
        second = await deployed(made, "b", 2, site="2")
        third = await deployed(made, "c", 3)
        assert [services_of(made, done.deployment) for done in (first, second, third)] == [{"api", "site"}, {"site"}, set()]
        assert [done.data["changed"] for done in (first, second, third)] == [True, True, False]
        planned = await made.event("BuildPlanned", second.deployment)
        assert (planned.data["built"], planned.data["unchanged"]) == (["site"], ["api"])


async def test_a_roll_back_passes_over_deployments_that_changed_nothing(nats_url: str, postgres_dsn: str) -> None:
    """To the last that left anything else, whose services are of different commits; there is none before the first."""
    async with world(nats_url, postgres_dsn) as made:
        made.manifest = SHOP
        wish = RollbackRequested(organization="main", subject="ada", place=PLACE)
        await deployed(made, "a", 1, api="1", site="1")
        await deployed(made, "b", 2)
        await made.request(wish)
        assert "no earlier release" in str((await made.event("RequestRefused")).data["reason"])
        before = await deployed(made, "c", 3, site="2")
        await deployed(made, "d", 4, api="2")
        await deployed(made, "e", 5)
        await made.request(wish.model_copy(update={"id": "another"}))
        back = await made.event("DeploymentSucceeded", count=6)
        assert services_of(made, back.deployment) == {"api"}
        assert back.data["releases"] == before.data["releases"]
        again = await made.push("f")
        forward = await made.event("DeploymentSucceeded", count=7)
        assert (again.commit[0], services_of(made, forward.deployment)) == ("f", {"api"})
