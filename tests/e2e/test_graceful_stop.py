"""Services that are told to stop in the middle of a step."""

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import psutil

from cli.failures import Failed
from embedded.status import status
from tests.apps.variants import slow_start
from tests.e2e.platform import Environment, Platform
from tests.polling import until

WITHIN_S = 10.0
"""After it the supervisor kills."""
_STOPPED_IN_BUILD = ("builder", "webhooks", "auth")
_STOPPED_IN_CHECK = ("deployer", "coordinator", "api", "notifier")


def test_each_service_stops_in_time_and_its_step_goes_on(platform: Platform) -> None:
    """SIGTERM ends each within ten seconds, with status 0, in mid-step; the deployment goes on with what is started anew, and succeeds."""
    environment = platform.environment("stopping")
    app = slow_start(platform.bases.shell, version="1", seconds=12).with_text("slipway.yaml", "start_period: 5s", "start_period: 30s")
    app = app.with_file("Dockerfile", app.files["Dockerfile"].replace("ENTRYPOINT", "RUN sleep 5\nENTRYPOINT"))
    commit = environment.repository.commit(app)
    with environment.start_push() as pushing:
        deployment = environment.deployment_of(commit)
        _at_work(environment, deployment, "build-web")
        _stopped_in_time(platform, _STOPPED_IN_BUILD)
        _at_work(environment, deployment, "check-container-web")
        _stopped_in_time(platform, _STOPPED_IN_CHECK)
        ended = environment.ended(deployment)
        pushing.kill()
    assert ended.state == "succeeded", ended.told()
    assert environment.get().json()["version"] == "1"
    assert not [event for event in ended.events if event.name == "StepRetried"], ended.told()


def _at_work(environment: Environment, deployment: str, step: str) -> None:
    """Waits until a worker is at the step."""

    def look() -> bool:
        with suppress(Failed):  # api itself may be on its way back
            page: Any = environment.api.get(f"/deployments/{deployment}")
            return any(each["step"] == step and each["state"] == "running" for each in page["steps"])
        return False

    until(look, within=60, what=f"{step} is at work")


def _stopped_in_time(platform: Platform, names: Sequence[str]) -> None:
    """Tells these to stop, together; each ends in time and in order, and all are ready again."""
    before = {process.name: process for process in status(platform.settings).processes if process.name in names}
    since = time.monotonic()
    for process in before.values():
        assert process.pid is not None
        os.kill(process.pid, signal.SIGTERM)
    for name, process in before.items():
        assert process.pid is not None
        pid = process.pid
        until(lambda pid=pid: not psutil.pid_exists(pid), within=WITHIN_S - (time.monotonic() - since), what=f"{name} ends")  # type: ignore[misc]

    def back() -> bool:
        now = {process.name: process for process in status(platform.settings).processes}
        return all(now[name].ready and now[name].restarts > before[name].restarts for name in names)

    until(back, within=30, every=0.2, what=f"{names} are back")
    ends = {process.name: process.last_end for process in status(platform.settings).processes if process.name in names}
    assert set(ends.values()) == {"exit code 0"}, ends
