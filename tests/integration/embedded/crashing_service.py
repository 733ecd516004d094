"""A service that fails at its start."""


async def main() -> None:
    """Fail."""
    raise RuntimeError("this service has a bug")
