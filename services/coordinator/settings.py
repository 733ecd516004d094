"""What the coordinator reads from its environment."""

from datetime import timedelta

from services.coordinator.saga import Limits
from shared.settings import StatefulSettings


class Settings(StatefulSettings):
    """Where the catalogue is, and how long things may take (seconds)."""

    api_address: str = "127.0.0.1:0"
    queue_limit_s: float = 1800
    silence_s: float = 15
    approval_s: float = 86_400
    backoff_s: float = 1

    @property
    def limits(self) -> Limits:
        """As the engine wants them."""
        return Limits(
            queue=timedelta(seconds=self.queue_limit_s),
            silence=timedelta(seconds=self.silence_s),
            approval=timedelta(seconds=self.approval_s),
            backoff=timedelta(seconds=self.backoff_s),
        )
