"""What the demo looks at before it says that something is so."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.demo.application import Application
from examples.demo.checkout import Checkout
from examples.demo.failures import DemoFailed
from examples.demo.forge import Forge
from examples.demo.programs import Programs
from examples.demo.terminal import Terminal
from examples.demo.visitors import Tally

PROJECT = "demo"
CONNECTION = "demo-github"
TODOS = ("Buy milk", "Water the plants", "Deploy on a Friday")
_TAKEN_WITHIN_S = 20.0


@dataclass(frozen=True)
class Stage:
    """What every act needs."""

    terminal: Terminal
    programs: Programs
    checkout: Checkout
    forge: Forge
    platform: dict[str, Any]
    """What `slipway status` says."""

    @property
    def authority(self) -> Path:
        """The local CA's certificate."""
        return Path(self.platform["home"]) / "ca" / "ca.pem"


def delivered(stage: Stage) -> None:
    """The stand-in's delivery was taken."""
    if not stage.forge.answers:
        raise DemoFailed("The push moved nothing, so nothing was delivered.", "Run the demo again.")
    answer = stage.forge.answers[-1]
    if answer.status != 202:
        raise DemoFailed(f"The delivery was answered with {answer.status}: {answer.text}", "See: slipway status")
    stage.terminal.fact(f"POST /hooks/{CONNECTION}, signed: answered with 202, {json.loads(answer.text)['status']}.")


def deployment_of(stage: Stage, commit: str) -> dict[str, Any]:
    """The deployment that a commit has led to."""
    deadline = time.monotonic() + _TAKEN_WITHIN_S
    with stage.terminal.waiting("waiting for the deployment"):
        while time.monotonic() < deadline:
            for item in stage.programs.ask("deployments", "list", "--project", PROJECT)["items"]:
                if item["commit"] == commit:
                    found: dict[str, Any] = item
                    return found
            time.sleep(0.1)
    raise DemoFailed(
        f"No deployment of {commit[:8]} began within {_TAKEN_WITHIN_S:.0f} s.", "See: slipway status, slipway deployments list"
    )


def application_of(stage: Stage, deployment: str) -> Application:
    """The application that a deployment has brought up."""
    page = stage.programs.ask("deployments", "show", deployment)["deployment"]
    if page["state"] != "succeeded" or not page["urls"]:
        raise DemoFailed(f"The deployment ended as {page['state']}.", f"Why: slipway explain {deployment}")
    return Application(page["urls"][0], stage.authority)


def answers(stage: Stage, application: Application, version: str) -> None:
    """It answers over TLS, in the version that was pushed."""
    status, answered, page = application.get("/")
    if status != 200 or answered != version or f"version {version}" not in page.decode():
        raise DemoFailed(f"{application.url} answers with status {status} and version {answered}, not {version}.")
    issuer, until = application.certificate()
    stage.terminal.fact(f"{application.url} answers:")
    stage.terminal.quoted(f"status {status}, version {version}\nTLS verified: {issuer}, good until {until}")


def remembers(stage: Stage, application: Application) -> None:
    """It keeps what is written."""
    there = {todo["title"] for todo in application.todos()}
    for title in TODOS:
        if title not in there and application.add(title) != 201:
            raise DemoFailed(f"The entry “{title}” was not taken.")
    found = application.todos()
    stage.terminal.fact(f"Its list has {len(found)} entries:")
    stage.terminal.quoted("\n".join(f"{'☑' if todo['done'] else '☐'} {todo['title']}" for todo in reversed(found)))


def counted(stage: Stage, tally: Tally, versions: set[str]) -> None:
    """No visitor was turned away, and none saw another version than those."""
    if tally.failures or not set(tally.by_version) <= versions:
        raise DemoFailed(
            f"{len(tally.failures)} of {tally.requests} requests failed; versions: {dict(tally.by_version)}. {tally.failures[:3]}"
        )
    shares = ", ".join(
        f"{count} answered by version {version}" for version, count in sorted(tally.by_version.items(), key=lambda pair: int(pair[0]))
    )
    stage.terminal.fact(f"{tally.requests} requests meanwhile ({tally.seconds:.0f} s), 0 failed.")
    stage.terminal.quoted(f"{shares}\nThe slowest took {tally.slowest_s * 1000:.0f} ms; half of them came on new TLS connections.")
