"""Is it ready, and is it reached? From the host, with nothing needed in the image."""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from services.deployer.fence import Claim
from services.deployer.ports import Journal, Reached
from services.deployer.targets.local.container_state import Container
from services.deployer.targets.local.engine import Engine
from services.deployer.targets.local.exits import ended_by_itself, explain_exit
from services.deployer.targets.local.listening import listeners, port_problem
from services.deployer.targets.local.load_balancer import LoadBalancer
from services.deployer.targets.local.naming import route_name
from services.deployer.targets.local.records import Records
from services.deployer.targets.local.route_files import PRIVATE_HEADER, url_of
from services.deployer.targets.local.secrets import TargetKey
from services.deployer.targets.local.workloads import Workloads, starts_in_switch
from shared.authorities import nobody
from shared.contracts.manifest import HealthCheck
from shared.contracts.releases import Release
from shared.printable import printable
from shared.work import StepFailure

Probe = Callable[[Container], Awaitable[str | None]]
"""What is wrong, in words; None where all is well."""

_QUICK_S = 0.02
"""The first looks come quickly; from there each wait is longer, up to the check's interval."""
_WORKER_S = 1.0
"""A worker without a check of its own is ready when it has run so long."""
_PUBLIC_PATIENCE_S = 15.0
_WORDS = 200
"""Of an error: some hold what was answered."""
_UNANSWERED = (httpx.HTTPError, httpx.InvalidURL, TimeoutError)
_GOOD = frozenset(range(200, 400))
_NOT_THE_BALANCERS = frozenset(range(200, 600)) - {502, 503, 504}
"""Any answer of the release itself: without a path to check, a 404 of its own is as good as another."""


@dataclass(frozen=True)
class Front:
    """The load balancer's TLS port, and the authority that its certificates come from."""

    port: int
    authority: Path

    async def get(self, host: str, path: str, headers: dict[str, str], timeout: float) -> int:
        """The status of a GET to the host's name, on this machine, TLS verified. Raises as `_status`.

        `*.localhost` does not resolve everywhere: the connection goes to 127.0.0.1, the name into SNI and Host.
        """
        context = ssl.create_default_context(cafile=str(self.authority))
        url, named = f"https://127.0.0.1:{self.port}{path}", {"Host": f"{host}:{self.port}"}
        return await _status(context, url, named | headers, timeout, host)


@dataclass(frozen=True)
class Checks:
    """Looks at releases of one instance."""

    engine: Engine
    records: Records
    workloads: Workloads
    balancer: LoadBalancer
    front: Front
    key: TargetKey

    async def candidate(self, claim: Claim, release: Release, journal: Journal) -> None:
        """Ready, and reached on the private route. What starts in the switch is checked there."""
        record = self.records.service(claim.place, release.service)
        if starts_in_switch(release, record) and not record.runs(release.key):
            return
        await self.until_ready(claim, release, journal)
        if release.port is None or not release.hosts:
            return
        exposed = record.candidate
        headers = {PRIVATE_HEADER: self.key.private_route(claim.place, release.service, exposed.deployment)} if exposed else {}
        for host in release.hosts:
            await self._until_reached(release, host, headers)

    async def endpoint(self, claim: Claim, release: Release, journal: Journal) -> Reached:
        """The public address answers, and what answers is this release."""
        record = self.records.service(claim.place, release.service)
        if release.port is None or not release.hosts:
            await self._running(claim, release, journal)
            return Reached(url="", status=None)
        if record.live is None or not record.runs(release.key):
            raise StepFailure("not_switched", f"{release.service} does not run this release: deploy again")
        name = route_name(claim.place, release.service)
        await self.balancer.until_routes_to(name, url_of(record.live))
        await self.until_ready(claim, release, journal)  # also where it has to start once more, with the machine
        status = 0
        for host in release.hosts:
            status = await self._until_reached(release, host, {})
        await self._running(claim, release, journal)
        url = f"https://{release.hosts[0]}:{self.front.port}"
        journal.log(f"{url} answers with {status}")
        return Reached(url=url, status=status)

    async def until_ready(self, claim: Claim, release: Release, journal: Journal | None = None) -> None:
        """Waits for the release's own check. Raises `StepFailure`: crashed, killed, another port, unhealthy.

        What went down with the engine or the machine is started again, and has all of its time again.
        """
        health = release.health or HealthCheck()
        probe, since = self._probe(release, health), time.monotonic()
        failures, pause, said, started = 0, _QUICK_S, "", ""
        while True:
            container = await self._running(claim, release, journal)
            if container.started_at != started:
                started, failures = container.started_at, 0
                probe, since = self._probe(release, health), time.monotonic()
            problem = await probe(container)
            if problem is None:
                return
            if problem != said and journal is not None:
                journal.log(f"{release.service}: {problem}")
            said = problem
            if time.monotonic() - since > health.start_period_s:
                failures += 1
                if failures >= max(health.retries, 1):
                    raise await self._unhealthy(container, release, health, problem)
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, health.interval_s)

    def _probe(self, release: Release, health: HealthCheck) -> Probe:
        port = health.port or release.port
        if health.command is not None:
            return self._command(health.command, health.timeout_s)
        if health.http is not None and port is not None:
            return self._http(health.http, port, release, health.timeout_s)
        if port is not None:
            return self._tcp(port, health.timeout_s)
        return self._still_runs(time.monotonic() + _WORKER_S)

    def _http(self, path: str, port: int, release: Release, timeout: float) -> Probe:
        async def probe(container: Container) -> str | None:
            url = f"http://{self._address(container)}:{port}{path}"
            headers = {"Host": release.hosts[0] if release.hosts else release.service}
            try:
                status = await _status(nobody(), url, headers, timeout)
            except _UNANSWERED as error:
                return f"GET {path} on port {port}: {_words(error)}"
            return None if status in _GOOD else f"GET {path} on port {port} answers with status {status}"

        return probe

    def _tcp(self, port: int, timeout: float) -> Probe:
        async def probe(container: Container) -> str | None:
            try:
                async with asyncio.timeout(timeout):
                    _, writer = await asyncio.open_connection(self._address(container), port)
            except (OSError, TimeoutError) as error:
                return f"port {port}: {_words(error)}"
            writer.close()
            return None

        return probe

    def _command(self, command: tuple[str, ...], timeout: float) -> Probe:
        async def probe(container: Container) -> str | None:
            try:
                async with asyncio.timeout(timeout):
                    code, written = await self.engine.execute(container.name, command)
            except TimeoutError:
                return f"the check `{' '.join(command)}` did not end within {timeout:g} s"
            last = written.strip().splitlines()[-1:]
            return None if code == 0 else f"the check `{' '.join(command)}` ended with {code}{': ' + printable(last[0]) if last else ''}"

        return probe

    def _still_runs(self, until: float) -> Probe:
        async def probe(_container: Container) -> str | None:
            return None if time.monotonic() >= until else "started"

        return probe

    async def _running(self, claim: Claim, release: Release, journal: Journal | None) -> Container:
        """The container, which runs. Raises `StepFailure` where it ended by itself, or is gone."""
        while True:
            container = await self.engine.inspect(self.workloads.container(claim.place, release))
            if container is not None and container.running:
                return container
            if container is None or await ended_by_itself(self.engine, container):
                raise await explain_exit(self.engine, container, release.service)
            if await self.workloads.revive(claim, release) and journal is not None:
                journal.log(f"{release.service} went down with the container engine or the machine: started again")

    async def _unhealthy(self, container: Container, release: Release, health: HealthCheck, problem: str) -> StepFailure:
        tail = await self.engine.tail(container.name)
        port = health.port or release.port
        other = port_problem(listeners(container.pid), port) if port is not None and health.command is None else None
        if other is not None:
            return StepFailure("wrong_port", f"{release.service} is not reached on port {port}: {other}", details=problem, log_tail=tail)
        return StepFailure(
            "unhealthy",
            f"{release.service} did not become healthy within {health.start_period_s:g} s and {health.retries} tries: {problem}",
            log_tail=tail,
        )

    async def _until_reached(self, release: Release, host: str, headers: dict[str, str]) -> int:
        """The status of the first good answer through the load balancer. Raises `StepFailure` (`unreachable`)."""
        health = release.health or HealthCheck()
        path = health.http if health.http and health.port in {None, release.port} else "/"
        accepted = _GOOD if path == health.http else _NOT_THE_BALANCERS
        deadline = time.monotonic() + _PUBLIC_PATIENCE_S
        while True:
            try:
                status = await self.front.get(host, path, headers, health.timeout_s)
                problem = f"status {status}"
                if status in accepted:
                    return status
            except _UNANSWERED as error:
                problem = _words(error)
            if time.monotonic() > deadline:
                raise StepFailure(
                    "unreachable",
                    f"{release.service} is ready, but https://{host}:{self.front.port}{path} is not answered through the load balancer: {problem}",
                )
            await asyncio.sleep(0.05)

    def _address(self, container: Container) -> str:
        """A container is on one network of ours."""
        return next((part.address for part in container.networks.values() if part.address), "")


async def _status(trusted: ssl.SSLContext, url: str, headers: dict[str, str], timeout: float, server: str = "") -> int:
    """The status of a GET, and nothing else of the answer: a body may have no end, or a gigabyte in a few bytes.

    Raises what `_UNANSWERED` lists; `TimeoutError` where there is no status within `timeout` seconds, whatever came until then.
    """
    asked = {"User-Agent": "slipway-check", "Accept-Encoding": "identity"} | headers
    name = {"sni_hostname": server} if server else {}
    async with (
        asyncio.timeout(timeout),
        httpx.AsyncClient(verify=trusted, timeout=timeout, trust_env=False) as client,
        client.stream("GET", url, headers=asked, extensions=name) as answer,
    ):
        return answer.status_code


def _words(error: BaseException) -> str:
    """An error of the network in a few words."""
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return "no answer in time"
    text = str(error)
    if isinstance(error, ConnectionRefusedError) or "All connection attempts failed" in text:
        return "nobody listens"
    return text[:_WORDS] or type(error).__name__
