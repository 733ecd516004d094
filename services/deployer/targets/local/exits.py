"""Why a container does not run, said so that its owner can act, and whether that is its own doing."""

from services.deployer.targets.local.container_state import Container
from services.deployer.targets.local.engine import Engine
from shared.work import StepFailure

_SIGNALS = 128
_KILLED, _ASKED, _LOST = 137, 143, 255
"""Exit codes that an engine gives for what was killed, asked to end, or gone when it looked."""


async def ended_by_itself(engine: Engine, container: Container) -> bool:
    """False where a container went down with its engine or with the machine, and so for every end that is not known.

    An engine that died has seen no end, and the next one remembers no start. What it finds dead then has an exit code of its own
    invention (255 or, in some versions, 0); only where it saw the end, and the code is of no kill, it is the program's.
    """
    if not container.has_started:
        return False
    seen = await engine.seen(container)
    return seen.end and (seen.start or container.exit_code not in {_KILLED, _ASKED, _LOST})


async def explain_exit(engine: Engine, container: Container | None, what: str) -> StepFailure:
    """The failure of a container that ended, or is gone."""
    if container is None:
        return StepFailure("stopped_from_outside", f"the container of {what} was removed by somebody while it was needed: deploy again")
    tail = await engine.tail(container.name)
    if container.out_of_memory:
        limit = size(container.memory_bytes)
        return StepFailure(
            "out_of_memory",
            f"{what} was killed because it used more memory than its limit of {limit}: raise `resources.memory` in slipway.yaml, or let it use less",
            log_tail=tail,
        )
    if container.exit_code in {0, _KILLED, _ASKED} and (await engine.seen(container)).signal:
        return StepFailure("stopped_from_outside", f"the container of {what} was stopped by somebody: deploy again", log_tail=tail)
    return StepFailure("crashed_at_start", f"{what} ended with {_code(container.exit_code)} instead of running", log_tail=tail)


def _code(code: int) -> str:
    if code > _SIGNALS:
        return f"exit code {code} (signal {code - _SIGNALS})"
    return f"exit code {code}"


def size(number: int) -> str:
    """As people write it: `64 MiB`."""
    for unit, factor in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if number >= factor:
            return f"{number / factor:.4g} {unit}"
    return f"{number} B"
