"""What a deployment is about."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Deployment:
    """As its first event says. Empty where that says nothing."""

    id: str
    organization: str
    project: str
    environment: str
    environment_kind: str
    repository: str
    ref: str
    commit: str
    title: str
    pusher: str
    created_at: datetime
    change_request: str = ""
    """The number of the one whose preview the environment is; that is of the repository."""

    @property
    def place(self) -> str:
        """Project and environment, as people name it."""
        return f"{self.project}/{self.environment}"
