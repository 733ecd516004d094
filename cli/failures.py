"""What went wrong, said so that a person can act."""


class Failed(Exception):
    """What is wrong and where; `remedy` is what to do. Exit status 1."""

    def __init__(self, message: str, remedy: str = "", *, code: str = "failed") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.code = code


class Away(Failed):
    """The platform does not answer just now, as while it is started again: who waits for something may ask once more."""


class NotRunning(Away):
    """Nothing answers at the platform's address."""

    def __init__(self, url: str) -> None:
        super().__init__(f"Slipway does not answer at {url}.", "Start it: slipway up", code="not-running")


class NoToken(Failed):
    """Nobody to ask as."""

    def __init__(self, where: str) -> None:
        remedy = "Set SLIPWAY_TOKEN, or run this where `slipway up` was run."
        super().__init__(f"There is no token: neither SLIPWAY_TOKEN nor {where}.", remedy, code="no-token")
