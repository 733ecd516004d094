"""Bitbucket Cloud: a build status of the commit; its deployments belong to its own pipelines.

https://developer.atlassian.com/cloud/bitbucket/rest/api-group-commit-statuses/
"""

from hashlib import sha256

from services.notifier.providers.forges.api import Body, ForgeApi
from services.notifier.providers.forges.port import Report
from services.notifier.providers.forges.states import Stage

_STATES = {
    Stage.QUEUED: "INPROGRESS",
    Stage.RUNNING: "INPROGRESS",
    Stage.SUCCEEDED: "SUCCESSFUL",
    Stage.ROLLED_BACK: "FAILED",
    Stage.FAILED: "FAILED",
    Stage.STUCK: "FAILED",
    Stage.INACTIVE: "STOPPED",
}
_LONGEST_KEY = 40


class Bitbucket:
    """Shows a deployment on the commit. A status with the same key takes the former one's place."""

    def __init__(self, api: ForgeApi) -> None:
        self._api = api

    async def show(self, report: Report) -> int | None:
        """Sets the status."""
        if not report.of_commit:
            return None
        body: Body = {
            "key": key_of(report.context),
            "state": _STATES[report.stage],
            "name": report.context,
            "description": report.description,
            "url": report.link,
        }
        return (await self._api.call("POST", report.repository, f"commit/{report.deployment.commit}/statuses/build", body)).status


def key_of(context: str) -> str:
    """The context, or what stands for it where it is longer than Bitbucket takes."""
    return context if len(context) <= _LONGEST_KEY else sha256(context.encode()).hexdigest()[:_LONGEST_KEY]
