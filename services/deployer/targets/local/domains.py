"""Names: each belongs to one service. `*.localhost` needs no record; other names must already lead to this machine."""

import re
from dataclasses import dataclass

from services.deployer.fence import Claim
from services.deployer.targets.local.records import DomainClaim, Records
from shared.contracts.releases import Release
from shared.work import StepFailure

_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*")
"""RFC 1123, lower case; an internationalised name in its ASCII form."""


@dataclass(frozen=True)
class Domains:
    """The names of one instance, claimed by files: two environments that want one name at once are kept apart."""

    records: Records

    async def assign(self, claim: Claim, release: Release) -> None:
        """Claims all names of the release, or none. Raises `StepFailure`: `domain_taken`, `domain_invalid`."""
        for host in release.hosts:
            if not _HOST.fullmatch(host):
                raise StepFailure("domain_invalid", f"{host!r} is no host name: write it in lower-case ASCII, as in `shop.example.com`")
        async with claim.lease():
            for host in release.hosts:
                wanted = DomainClaim(host=host, place=claim.place, service=release.service, step_key=claim.step_key)
                standing = self.records.claim(wanted)
                if (standing.place, standing.service) != (claim.place, release.service):
                    self._give_back(claim, release.service)
                    raise StepFailure(
                        "domain_taken",
                        f"{host} belongs to the service {standing.service} of {standing.place}: take it away there first, or use another name",
                    )

    async def give_back(self, claim: Claim, service: str) -> None:
        """Frees the names that this step claimed."""
        async with claim.lease():
            self._give_back(claim, service)

    async def keep_only(self, claim: Claim, service: str, hosts: tuple[str, ...]) -> None:
        """Frees the service's names that are not among these."""
        async with claim.lease():
            for standing in list(self.records.claims(claim.place)):
                if standing.service == service and standing.host not in hosts:
                    self.records.release(standing)

    def _give_back(self, claim: Claim, service: str) -> None:
        for standing in list(self.records.claims(claim.place)):
            if standing.service == service and standing.step_key == claim.step_key:
                self.records.release(standing)
