"""Gitea and Forgejo: a status of the commit; they have no deployments.

https://docs.gitea.com/api/ (repoCreateStatus).
"""

from services.notifier.providers.forges.api import Body, ForgeApi
from services.notifier.providers.forges.port import Report
from services.notifier.providers.forges.states import Stage

_STATES = {
    Stage.QUEUED: "pending",
    Stage.RUNNING: "pending",
    Stage.SUCCEEDED: "success",
    Stage.ROLLED_BACK: "failure",
    Stage.FAILED: "failure",
    Stage.STUCK: "error",
    Stage.INACTIVE: "error",
}


class Gitea:
    """Shows a deployment on the commit. The newest status of a context is the one that counts."""

    def __init__(self, api: ForgeApi) -> None:
        self._api = api

    async def show(self, report: Report) -> int | None:
        """Adds the status."""
        if not report.of_commit:
            return None
        body: Body = {
            "state": _STATES[report.stage],
            "context": report.context,
            "description": report.description,
            **({"target_url": report.page} if report.page else {}),
        }
        return (await self._api.call("POST", report.repository, f"statuses/{report.deployment.commit}", body)).status
