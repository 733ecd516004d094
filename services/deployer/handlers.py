"""One function a command, and one an undo: decode (the participant did) → fence → make it so → answer.

The look at what is there is the ports'; nothing here depends on the kind of target.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from services.deployer.fence import Claim
from services.deployer.ports import Journal, Target
from shared.contracts import commands as c
from shared.contracts import facts as f
from shared.work import AnyHandler

Step = Callable[[Target, Claim, Any, Journal], Awaitable[f.Fact]]


async def provision_database(target: Target, claim: Claim, command: c.ProvisionDatabase, journal: Journal) -> f.Fact:
    """The database runs as asked."""
    done = await target.databases.provision(claim, command.database, journal)
    return f.DatabaseProvisioned(database=command.database.name, version=done.version, made=done.made)


async def restore_database(target: Target, claim: Claim, command: c.ProvisionDatabase, _journal: Journal) -> f.Fact:
    """Its former spec again, or detached."""
    volume = await target.databases.restore(claim, command.database, command.former)
    return f.DatabaseRestored(database=command.database.name, detached_volume=volume)


async def connect_database(target: Target, claim: Claim, command: c.ConnectDatabase, _journal: Journal) -> f.Fact:
    """Reached by its name."""
    return f.DatabaseConnected(database=command.database.name, network=await target.databases.connect(claim, command.database))


async def disconnect_database(_target: Target, _claim: Claim, command: c.ConnectDatabase, _journal: Journal) -> f.Fact:
    """Its own undo puts a database that stays on its network, and takes away one that this deployment made."""
    return f.DatabaseDisconnected(database=command.database.name)


async def check_database(target: Target, claim: Claim, command: c.CheckDatabase, journal: Journal) -> f.Fact:
    """It answers queries."""
    return f.DatabaseHealthy(database=command.database.name, version=await target.databases.check(claim, command.database, journal))


async def run_job(target: Target, claim: Claim, command: c.RunJob, journal: Journal) -> f.Fact:
    """Runs once."""
    journal.redact(target.secret_values(command.secrets, command.place, command.job.container))
    ran = await target.jobs.run(claim, command.job, command.secrets, journal)
    return f.JobSucceeded(job=command.job.name, seconds=ran.seconds, log_tail=ran.log_tail)


async def undo_job(target: Target, claim: Claim, command: c.RunJob, journal: Journal) -> f.Fact:
    """Ended, and undone by its own command."""
    journal.redact(target.secret_values(command.secrets, command.place, command.job.container))
    return f.JobUndone(job=command.job.name, ran_undo=await target.jobs.undo(claim, command.job, command.secrets, journal))


async def deploy_container(target: Target, claim: Claim, command: c.DeployContainer, journal: Journal) -> f.Fact:
    """The candidate beside the former release."""
    journal.redact(target.secret_values(command.secrets, command.place, command.release.container))
    done = await target.workloads.deploy(claim, command.release, command.secrets)
    return f.ContainerDeployed(service=command.release.service, container=done.container, already_running=done.already_running)


async def remove_container(target: Target, claim: Claim, command: c.DeployContainer, _journal: Journal) -> f.Fact:
    """The candidate is gone."""
    await target.workloads.remove(claim, command.release)
    return f.ContainerRemoved(service=command.release.service)


async def connect_container(target: Target, claim: Claim, command: c.ConnectContainer, _journal: Journal) -> f.Fact:
    """On its networks."""
    return f.ContainerConnected(service=command.release.service, address=await target.workloads.connect(claim, command.release))


async def restore_network(_target: Target, _claim: Claim, command: c.ConnectContainer, _journal: Journal) -> f.Fact:
    """The former release never left its network, the candidate goes with its own undo; an unused network goes with the sweep."""
    return f.NetworkRestored(service=command.release.service)


async def expose_candidate(target: Target, claim: Claim, command: c.ExposeCandidate, _journal: Journal) -> f.Fact:
    """The private route."""
    await target.routes.expose(claim, command.release, command.secrets)
    return f.CandidateExposed(service=command.release.service, hosts=command.release.hosts)


async def hide_candidate(target: Target, claim: Claim, command: c.ExposeCandidate, _journal: Journal) -> f.Fact:
    """No private route."""
    await target.routes.hide(claim, command.release)
    return f.RouteRemoved(service=command.release.service)


async def assign_domain(target: Target, claim: Claim, command: c.AssignDomain, _journal: Journal) -> f.Fact:
    """The names are this service's."""
    await target.domains.assign(claim, command.release)
    return f.DomainAssigned(service=command.release.service, hosts=command.release.hosts)


async def restore_domain(target: Target, claim: Claim, command: c.AssignDomain, _journal: Journal) -> f.Fact:
    """The names are as they were."""
    await target.domains.give_back(claim, command.release.service)
    return f.DomainRestored(service=command.release.service)


async def issue_certificate(target: Target, claim: Claim, command: c.IssueCertificate, _journal: Journal) -> f.Fact:
    """A certificate for every name."""
    issued = await target.certificates.issue(claim, command.release)
    if issued is None:
        return f.CertificateIssued(service=command.release.service)
    return f.CertificateIssued(service=command.release.service, fingerprint=issued.fingerprint, not_after=issued.not_after)


async def restore_certificate(target: Target, claim: Claim, command: c.IssueCertificate, _journal: Journal) -> f.Fact:
    """The former certificate."""
    await target.certificates.withdraw(claim, command.release.service)
    return f.CertificateRestored(service=command.release.service)


async def check_candidate(target: Target, claim: Claim, command: c.CheckCandidate, journal: Journal) -> f.Fact:
    """Ready, and reached through load balancer and TLS."""
    journal.redact(target.secret_values(command.secrets, command.place, command.release.container))
    since = time.monotonic()
    await target.checks.candidate(claim, command.release, journal)
    return f.CandidateHealthy(service=command.release.service, seconds=round(time.monotonic() - since, 3))


async def switch_traffic(target: Target, claim: Claim, command: c.SwitchTraffic, journal: Journal) -> f.Fact:
    """The release takes the traffic."""
    journal.redact(target.secret_values(command.secrets, command.place, command.release.container))
    since = time.monotonic()
    await target.routes.switch(claim, command.release, command.secrets, journal)
    return f.TrafficSwitched(service=command.release.service, seconds=round(time.monotonic() - since, 3))


async def restore_traffic(target: Target, claim: Claim, command: c.SwitchTraffic, journal: Journal) -> f.Fact:
    """The former release takes it again."""
    journal.redact(target.secret_values(command.former_secrets, command.place, (command.former or command.release).container))
    await target.routes.switch_back(claim, command.release, command.former, command.former_secrets)
    return f.TrafficRestored(service=command.release.service)


async def check_endpoint(target: Target, claim: Claim, command: c.CheckEndpoint, journal: Journal) -> f.Fact:
    """The public address answers from the new release."""
    journal.redact(target.secret_values(command.secrets, command.place, command.release.container))
    reached = await target.checks.endpoint(claim, command.release, journal)
    return f.EndpointHealthy(service=command.release.service, url=reached.url, status=reached.status)


async def retire_release(target: Target, claim: Claim, command: c.RetireRelease, _journal: Journal) -> f.Fact:
    """The former release is gone, and so is what the deployment left."""
    await target.routes.retire(claim, command.release)
    await target.jobs.clear(claim)
    await target.domains.keep_only(claim, command.release.service, command.release.hosts)
    return f.ReleaseRetired(service=command.release.service)


async def remove_service(target: Target, claim: Claim, command: c.RemoveService, _journal: Journal) -> f.Fact:
    """A service is gone."""
    await target.routes.remove(claim, command.former)
    await target.jobs.clear(claim)
    await target.domains.keep_only(claim, command.former.service, ())
    await target.sweep.run(claim)
    return f.ServiceRemoved(service=command.former.service)


async def remove_database(target: Target, claim: Claim, command: c.RemoveDatabase, _journal: Journal) -> f.Fact:
    """A database is detached."""
    volume = await target.databases.detach(claim, command.former)
    await target.sweep.run(claim)
    return f.DatabaseDetached(database=command.former.name, detached_volume=volume)


STEPS: Mapping[type[c.Command], Step] = {
    c.ProvisionDatabase: provision_database,
    c.ConnectDatabase: connect_database,
    c.CheckDatabase: check_database,
    c.RunJob: run_job,
    c.DeployContainer: deploy_container,
    c.ConnectContainer: connect_container,
    c.ExposeCandidate: expose_candidate,
    c.AssignDomain: assign_domain,
    c.IssueCertificate: issue_certificate,
    c.CheckCandidate: check_candidate,
    c.SwitchTraffic: switch_traffic,
    c.CheckEndpoint: check_endpoint,
    c.RetireRelease: retire_release,
    c.RemoveService: remove_service,
    c.RemoveDatabase: remove_database,
}
UNDOS: Mapping[type[c.Command], Step] = {
    c.ProvisionDatabase: restore_database,
    c.ConnectDatabase: disconnect_database,
    c.RunJob: undo_job,
    c.DeployContainer: remove_container,
    c.ConnectContainer: restore_network,
    c.ExposeCandidate: hide_candidate,
    c.AssignDomain: restore_domain,
    c.IssueCertificate: restore_certificate,
    c.SwitchTraffic: restore_traffic,
}


def handlers(target: Target) -> dict[type[c.Command], AnyHandler]:
    """What the participant calls to do a step."""
    return {command: _doing(target, step) for command, step in STEPS.items()}


def undos(target: Target) -> dict[type[c.Command], AnyHandler]:
    """What it calls to undo one."""
    return {command: _undoing(target, step) for command, step in UNDOS.items()}


def _doing(target: Target, step: Step) -> AnyHandler:
    async def handle(command: c.Command, journal: Journal) -> f.Fact:
        return await step(target, await target.fence.admit(command), command, journal)

    return handle


def _undoing(target: Target, step: Step) -> AnyHandler:
    async def handle(command: c.Command, journal: Journal) -> f.Fact:
        claim = await target.fence.admit(command)
        await target.sweep.begin(claim)
        fact = await step(target, claim, command, journal)
        await target.sweep.run(claim)
        return fact

    return handle
