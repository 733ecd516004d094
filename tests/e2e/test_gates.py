"""Gates on a whole platform: one that is answered over HTTP, one whose tool (the example) answers on the bus, with the environment held."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from cli.causes import rows
from embedded.status import status
from tests import apps
from tests.e2e.platform import FINAL, PUSH_LIMIT_S, Ended, Environment, Platform
from tests.polling import until

EXAMPLE = Path(__file__).parents[2] / "examples" / "subscribers" / "python" / "gate.py"


def gate(environment: Environment, name: str, before: str, default: str = "fail") -> dict[str, Any]:
    """A new gate, and what its tool is given, once it can read."""
    place = environment.place
    wanted = {"name": name, "project": place.project, "environment": place.environment, "before": before, "deadline_s": 100}
    made: dict[str, Any] = environment.api.post("/gates/main", wanted | {"default": default})
    until(lambda: environment.api.get(f"/gates/main/{name}")["ready"], within=20, what=f"the tool of {name} can read")
    return made


@contextmanager
def tool(made: dict[str, Any], freeze: Path) -> Iterator[Path]:
    """The example, as its own process; the file that it prints to."""
    connection, output = made["connection"], freeze.with_suffix(".out")
    environment = {
        "NATS_URL": connection["url"], "NATS_USER": connection["user"], "NATS_PASSWORD": made["password"],
        "NATS_STREAM": connection["stream"], "NATS_CONSUMER": connection["consumer"], "NATS_INBOX_PREFIX": connection["inbox_prefix"],
        "GATE_SUBJECT": made["answers_subject"], "FREEZE_FILE": str(freeze),
    }  # fmt: skip
    with output.open("w") as writing:
        process = subprocess.Popen([sys.executable, str(EXAMPLE)], env={**os.environ, **environment}, stdout=writing, stderr=writing)
    try:
        yield output
    finally:
        process.kill()
        process.wait()


def pushed(environment: Environment, version: str, meanwhile: Callable[[str], None]) -> Ended:
    """A version is committed and pushed; what happens to its deployment while git shows it; its end."""
    commit = environment.repository.commit(apps.good(environment.platform.bases.shell, version=version))
    with environment.start_push() as pushing:
        try:
            deployment = environment.deployment_of(commit)
            meanwhile(deployment)
            said, _ = pushing.communicate(timeout=PUSH_LIMIT_S)
        finally:
            pushing.kill()
    return environment.ended(deployment, said)


def waits(environment: Environment, deployment: str, name: str) -> None:
    """Until the deployment waits for the gate."""

    def look() -> bool:
        shown = environment.api.get(f"/deployments/{deployment}")["deployment"]
        return (shown["state"], shown["waiting_for"]) == ("waiting", f"gate {name}")

    until(look, within=60, every=0.1, what=f"{deployment} waits for the gate {name}")


def test_one_gate_passes_over_http_and_one_fails_on_the_bus_with_the_environment_held(platform: Platform, tmp_path: Path) -> None:
    """The former release answers all the while, nothing of the new one is left, and the record says who answered what."""
    environment = platform.environment("gated")
    first = environment.push(apps.good(platform.bases.shell, version="1"))
    assert first.state == "succeeded", first.told()
    before = environment.describe().comparable()
    ticket, freeze = gate(environment, "ticket", "deploy"), gate(environment, "freeze", "switch")
    file = tmp_path / "freeze.txt"
    file.write_text("No releases on Fridays\n")

    def answer(deployment: str) -> None:
        waits(environment, deployment, "ticket")
        assert environment.describe().comparable() == before
        said = {"deployment": deployment, "result": "pass", "reason": "CHG-7 is approved"}
        wrong = httpx.post(ticket["answers_url"], json=said, headers={"Authorization": f"Bearer {freeze['password']}"}, timeout=10)
        assert wrong.status_code == 401
        taken = httpx.post(ticket["answers_url"], json=said, headers={"Authorization": f"Bearer {ticket['password']}"}, timeout=10)
        assert taken.status_code == 202, taken.text

    def serves_meanwhile(deployment: str) -> None:
        answer(deployment)
        while environment.api.get(f"/deployments/{deployment}")["deployment"]["state"] not in FINAL:
            assert environment.get().json()["version"] == "1"

    with tool(freeze, file) as output:
        ended = pushed(environment, "2", serves_meanwhile)
        assert ended.state == "rolled_back", f"{ended.told()}\n{output.read_text()}"
        assert (ended.code, ended.message) == ("gate_failed", "No releases on Fridays")
        assert {name: ended.steps[name]["state"] for name in ("gate-ticket", "gate-freeze", "switch-web")} == {
            "gate-ticket": "done",
            "gate-freeze": "failed",
            "switch-web": "pending",
        }
        assert "✓ gate ticket (CHG-7 is approved)" in ended.said
        assert "gate freeze is asked before the switch" in ended.said
        assert "No releases on Fridays" in ended.said
        told = {row.step: row.details for row in rows(list(ended.events))}
        assert (told["gate-ticket"][-1], told["gate-freeze"][-1]) == ("CHG-7 is approved", "No releases on Fridays")
        assert environment.describe().comparable() == before
        assert environment.get().json()["version"] == "1"

        file.unlink()
        again = pushed(environment, "3", answer)
        assert again.state == "succeeded", f"{again.told()}\n{output.read_text()}"
        assert environment.get().json()["version"] == "3"
    answered = [event.data["by"] for event in again.events if event.name == "GatePassed"]
    assert answered == ["gate ticket", "gate freeze"]


def test_where_nobody_answers_the_default_counts_also_after_a_restart_of_the_coordinator(platform: Platform) -> None:
    """A removed gate is asked no more."""
    environment = platform.environment("unanswered")
    place = environment.place
    wanted = {"name": "nobody", "project": place.project, "environment": place.environment, "before": "build", "deadline_s": 5}
    environment.api.post("/gates/main", wanted | {"default": "pass"})

    def kill_the_coordinator(deployment: str) -> None:
        waits(environment, deployment, "nobody")
        (coordinator,) = [process.pid for process in status(platform.settings).processes if process.name == "coordinator"]
        assert coordinator is not None
        os.kill(coordinator, signal.SIGKILL)

    ended = pushed(environment, "1", kill_the_coordinator)
    assert ended.state == "succeeded", ended.told()
    (passed,) = [event for event in ended.events if event.name == "GatePassed"]
    assert (passed.data["by"], passed.data["defaulted"], passed.data["reason"]) == ("", True, "nobody answered within 5 s")
    environment.api.delete("/gates/main/nobody")
    assert "GateRequested" not in {event.name for event in environment.push(apps.good(platform.bases.shell, version="2")).events}
