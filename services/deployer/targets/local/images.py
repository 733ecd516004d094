"""Images are pulled where the engine does not have them: a wait, outside any lease."""

from services.deployer.targets.local.engine import Engine
from services.deployer.targets.local.engine_errors import Json
from shared.work import StepFailure


async def ensure_image(engine: Engine, reference: str, what: str) -> Json:
    """The image, pulled where it is not there. Raises `StepFailure` (`image_missing`)."""
    found = await engine.image(reference)
    if found is not None:
        return found
    words = await engine.pull(reference)
    found = await engine.image(reference)
    if found is None:
        raise StepFailure(
            "image_missing",
            f"the image {reference} of {what} is neither on the container engine nor in its registry: deploy again to build it anew",
            details=words or "",
        )
    return found
