"""What the record adds to a fact of a target: a target says what it did, the record says with which images. Pure."""

from services.coordinator.saga import Saga, Step
from shared.contracts.facts import Fact, TrafficRestored, TrafficSwitched
from shared.contracts.releases import Release


def completed(saga: Saga, step: Step, fact: Fact) -> Fact:
    """The fact of a step, as it is published. Nothing that a target claims about images stands."""
    if saga.plan is None or step.item is None:
        return fact
    image, former = _image(saga.plan.releases.get(step.item)), _image(saga.plan.former.get(step.item))
    match fact:
        case TrafficSwitched():
            return fact.model_copy(update={"service": step.item, "image": image, "former": former, "kind": saga.origin.kind})
        case TrafficRestored():
            return fact.model_copy(update={"service": step.item, "image": former})
        case _:
            return fact


def _image(release: Release | None) -> str:
    return release.container.image if release else ""
