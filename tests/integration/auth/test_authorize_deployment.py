"""The command AuthorizeDeployment, over the real bus."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from shared.bus import Bus
from shared.contracts.answers import Answer, Outcome
from shared.contracts.changes import Pusher
from shared.contracts.commands import AuthorizeDeployment
from shared.contracts.facts import ApprovalRequested, DeploymentAuthorized, DeploymentDenied, Fact
from shared.contracts.places import EnvironmentKind, Place
from shared.contracts.steps import AUTHORISE, command_subject
from shared.messages import new_id
from shared.proto import auth_pb2 as pb
from shared.settings import ServiceSettings
from tests.integration.auth.conftest import RunningAuth
from tests.polling import eventually
from tests.stack import service_settings

PRODUCTION = Place(organization="main", project="todo", environment="production")


class Coordinator:
    """Asks as the coordinator does."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def ask(
        self, pusher: Pusher | None = None, *, subject: str | None = None, needs_approval: bool = False, fork: bool = False
    ) -> Fact:
        """The verdict on a new deployment."""
        command = AuthorizeDeployment(
            deployment=new_id(),
            step="authorise",
            place=PRODUCTION,
            target="local",
            timeout_s=30,
            kind=EnvironmentKind.PRODUCTION,
            pusher=pusher,
            subject=subject,
            ref="refs/heads/main",
            commit="a" * 40,
            needs_approval=needs_approval,
            fork=fork,
        )
        return await self.send(command)

    async def send(self, command: AuthorizeDeployment) -> Fact:
        """The verdict on this very command."""
        results = await self._bus.js.pull_subscribe_bind("coordinator-results", "RESULTS")
        await self._bus.publish(command_subject(command, AUTHORISE), command, message_id=new_id())

        async def answered() -> Fact | None:
            for message in await results.fetch(1, timeout=10):
                await message.ack_sync()
                answer = Answer.decode(message.data)
                assert answer.outcome is not Outcome.FAILED, answer.failure
                if answer.deployment == command.deployment and answer.outcome is Outcome.DONE:
                    return answer.fact()
            return None

        fact = await eventually(answered, within=15)
        assert fact is not None
        return fact


@pytest.fixture
async def coordinator(auth: RunningAuth) -> AsyncIterator[Coordinator]:
    """A connection as the coordinator."""
    bus = await Bus.connect(service_settings(ServiceSettings, "coordinator", auth.nats_url), "coordinator")
    yield Coordinator(bus)
    await bus.close()


async def _linked(auth: RunningAuth, role: str, resource: str, login: str, account_id: str = "") -> str:
    person = await auth.person(login.title(), (role, resource))
    await auth.stub.LinkIdentity(pb.Identity(person=person, forge="github", login=login, account_id=account_id, by=auth.admin.id))
    return person


async def test_a_linked_deployer_may_deploy(auth: RunningAuth, coordinator: Coordinator) -> None:
    """The forge's account leads to the person, and the rule says why."""
    ada = await _linked(auth, "deployer", "project/main/todo", "ada")
    fact = await coordinator.ask(Pusher(forge="github", login="ADA", id="77"))
    assert fact == DeploymentAuthorized(person=ada, rule="deployer on project main/todo may deploy to production")


async def test_where_every_deployment_needs_approval_a_deployer_waits_and_an_admin_does_not(
    auth: RunningAuth, coordinator: Coordinator
) -> None:
    """The environment's policy stops whoever may deploy there, unless they may approve themselves; others it changes nothing for."""
    deployer = await auth.person("Dea", ("deployer", "project/main/todo"))
    verdict = await coordinator.ask(subject=deployer, needs_approval=True)
    assert isinstance(verdict, ApprovalRequested)
    assert verdict.rule.startswith("only admin may let deployments go on to production, which asks for approval; Dea is deployer")
    assert isinstance(await coordinator.ask(subject=deployer), DeploymentAuthorized)
    allowed = await coordinator.ask(subject=auth.admin.id, needs_approval=True)
    assert isinstance(allowed, DeploymentAuthorized)
    assert "which asks for approval" in allowed.rule
    stranger = await auth.person("Eve")
    assert isinstance(await coordinator.ask(subject=stranger, needs_approval=True), DeploymentDenied)


async def test_an_unknown_pusher_is_told_what_to_do(auth: RunningAuth, coordinator: Coordinator) -> None:
    """The denial names the rule and the command that mends it, and is in the audit log."""
    fact = await coordinator.ask(Pusher(forge="github", login="é\0ve", id="5"))
    assert isinstance(fact, DeploymentDenied)
    assert fact.rule == "only people of this installation may deploy; github login é\ufffdve is linked to nobody"
    assert "slipway people link <person> github é\ufffdve --account-id 5" in fact.reason
    newest = (await auth.audit())[0]
    assert (newest.subject, newest.allowed, newest.rule) == ("github login é\ufffdve", False, fact.rule)


async def test_who_has_no_role_there_is_denied(auth: RunningAuth, coordinator: Coordinator) -> None:
    """A role elsewhere is none here."""
    await _linked(auth, "admin", "project/main/blog", "bob")
    fact = await coordinator.ask(Pusher(forge="github", login="bob"))
    assert isinstance(fact, DeploymentDenied)
    assert fact.rule == "only deployer or above may deploy to production; Bob has no role on environment main/todo/production"
    assert "slipway people grant" in fact.reason


async def test_a_viewers_push_waits_for_approval(auth: RunningAuth, coordinator: Coordinator) -> None:
    """Somebody who may see the environment asks somebody who may deploy to it."""
    await _linked(auth, "viewer", "organization/main", "vic")
    fact = await coordinator.ask(Pusher(forge="github", login="vic"))
    assert isinstance(fact, ApprovalRequested)
    assert fact.rule == "only deployer or above may deploy to production; Vic is viewer on organization main"


async def test_a_push_that_the_sweep_found_without_pusher_waits_for_approval(coordinator: Coordinator) -> None:
    """Nobody is named, so nobody is believed."""
    for pusher in (None, Pusher(forge="github", email="linus@example.com")):
        assert isinstance(await coordinator.ask(pusher), ApprovalRequested)


async def test_a_login_taken_over_by_another_account_is_not_believed(auth: RunningAuth, coordinator: Coordinator) -> None:
    """The id seen with the first push is kept; the same login with another id is somebody else."""
    ada = await _linked(auth, "deployer", "project/main/todo", "ada")
    first = await coordinator.ask(Pusher(forge="github", login="ada", id="1"))
    assert isinstance(first, DeploymentAuthorized)
    renamed = await coordinator.ask(Pusher(forge="github", login="ada-renamed", id="1"))
    assert isinstance(renamed, DeploymentAuthorized)
    assert renamed.person == ada
    assert isinstance(await coordinator.ask(Pusher(forge="github", login="ada", id="2")), DeploymentDenied)


async def test_a_push_to_the_own_remote_names_its_person(auth: RunningAuth, coordinator: Coordinator) -> None:
    """Slipway's own remote knows the person by their token; a person who was removed may nothing."""
    fact = await coordinator.ask(Pusher(forge="slipway", login="admin", person=auth.admin.id))
    assert fact == DeploymentAuthorized(person=auth.admin.id, rule="admin on organization main may deploy to production")
    gone = await auth.person("Gone", ("admin", "organization/main"))
    await auth.stub.DeletePerson(pb.DeletePersonRequest(id=gone, by=auth.admin.id))
    assert isinstance(await coordinator.ask(Pusher(forge="slipway", person=gone)), DeploymentDenied)


async def test_who_asked_by_hand_is_decided_by_their_own_roles(auth: RunningAuth, coordinator: Coordinator) -> None:
    """A wish names its person, whoever pushed the commit."""
    ada = await auth.person("Ada", ("deployer", "environment/main/todo/production"))
    fact = await coordinator.ask(Pusher(forge="github", login="stranger"), subject=ada)
    assert fact == DeploymentAuthorized(person=ada, rule="deployer on environment main/todo/production may deploy to production")


async def test_a_fork_s_commit_waits_whoever_pushed_it(auth: RunningAuth, coordinator: Coordinator) -> None:
    """A stranger, somebody who may deploy, and one whom the forge does not name: somebody has to look at it. A wish by hand is that look."""
    await _linked(auth, "deployer", "project/main/todo", "ada", "7")
    strangers = (Pusher(forge="github", login="eve", id="666"), Pusher(forge="github", login="ada", id="7"), Pusher(forge="github"))
    for pusher in (*strangers, Pusher(forge="github", person=auth.admin.id)):
        fact = await coordinator.ask(pusher, fork=True)
        assert isinstance(fact, ApprovalRequested), fact
        assert fact.rule == "each commit of a fork's change request needs approval"
    assert isinstance(await coordinator.ask(Pusher(forge="github", login="eve"), fork=True, subject=auth.admin.id), DeploymentAuthorized)


async def test_a_command_that_comes_again_is_one_entry(auth: RunningAuth, coordinator: Coordinator) -> None:
    """The same attempt delivered twice gets the same answer and stands in the log once."""
    command = AuthorizeDeployment(
        deployment=new_id(),
        step="authorise",
        place=PRODUCTION,
        target="local",
        timeout_s=30,
        kind=EnvironmentKind.PRODUCTION,
        subject=auth.admin.id,
        ref="refs/heads/main",
        commit="b" * 40,
    )
    assert await coordinator.send(command) == await coordinator.send(command)
    assert [entry.action for entry in await auth.audit()].count("deployment.create") == 1


async def test_a_database_that_restarts_costs_no_answer(auth: RunningAuth, coordinator: Coordinator) -> None:
    """The command waits until the database is back, and is answered then."""
    connection = await asyncpg.connect(auth.dsn)
    for _ in range(3):
        cut = await connection.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'slipway-auth'"
        )
        assert cut
        fact = await coordinator.ask(Pusher(forge="slipway", person=auth.admin.id))
        assert isinstance(fact, DeploymentAuthorized)
    await connection.close()
