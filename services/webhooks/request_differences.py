"""How the open change requests that a forge lists differ from what is known of them. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from services.webhooks.domain import ChangeRequest, LastOfRequest, Origin, RequestAction
from services.webhooks.refs import follows
from services.webhooks.request_rules import why_ignored


@dataclass(frozen=True)
class Missed:
    """One that was opened (again) or updated; nothing is known of it, or `last`."""

    now: ChangeRequest
    last: LastOfRequest | None


@dataclass(frozen=True)
class Gone:
    """One that led to something, and is not listed any more."""

    last: LastOfRequest


Difference = Missed | Gone


def differences(
    listed: Iterable[ChangeRequest], known: Mapping[str, LastOfRequest], origin: Origin, targets: Sequence[str]
) -> dict[str, Difference]:
    """By number, those that were missed in the order of the list. `targets`: the branches into which they get environments."""
    found = {request.number: request for request in listed}
    gone = {number: Gone(last) for number, last in known.items() if last.stands and number not in found}
    return {missed.now.number: missed for missed in _missed(found.values(), known, origin, targets)} | gone


def _missed(
    listed: Iterable[ChangeRequest], known: Mapping[str, LastOfRequest], origin: Origin, targets: Sequence[str]
) -> Iterator[Missed]:
    for request in listed:
        last, target = known.get(request.number), f"refs/heads/{request.target}"
        if why_ignored(request, origin):
            continue
        if last is None or last.is_over:
            if follows(targets, target):
                yield Missed(replace(request, action=RequestAction.OPENED), last)
        elif (last.change.target, last.change.commit[: len(request.commit)]) != (target, request.commit):
            yield Missed(replace(request, action=RequestAction.UPDATED), last)
