"""What the demo could not show."""


class DemoFailed(Exception):
    """Something did not go as the demo promises; `remedy` says what to do."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy
