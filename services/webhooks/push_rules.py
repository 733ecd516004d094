"""Rules of pushes: whether one is a change, and why not."""

import re
from dataclasses import replace

from services.webhooks.domain import Arrival, Head, Known, Origin, Push, State, is_of
from services.webhooks.refs import LONGEST_REF, is_ref
from services.webhooks.texts import clean, cleaned_pusher, first_line
from shared.contracts.changes import ChangePushed, FoundBy

_SKIPS = re.compile(r"\[(?:skip ci|ci skip)\]|\*\*\*NO_CI\*\*\*", re.IGNORECASE)


def skip_marker(message: str) -> str:
    """What in a commit's message asks for no deployment: `[skip ci]`, `[ci skip]` or `***NO_CI***`, in any letters; empty: nothing."""
    found = _SKIPS.search(message)
    return found.group() if found else ""


def judge(push: Push, head: Head | None, arrival: Arrival) -> Known | None:
    """None: a change. Else why not.

    The rule of sameness: equal only to the last change of that ref that was not ignored. The sweep takes
    an ignored one for known too, lest it find it every minute. What a person delivers again is a change again,
    whatever was made of it before.
    """
    if reason := _leads_nowhere(push, arrival.origin):
        return Known(reason, push.ref)
    if arrival.found_by is FoundBy.REDELIVERY:
        return None
    if head is None:
        return _skipped(push)
    by_sweep = arrival.found_by is FoundBy.SWEEP
    if by_sweep and head.arrival != arrival.expected:
        return Known("a newer change came while the sweep looked", push.ref, head.change)
    if head.commit == push.commit and (by_sweep or head.state is not State.IGNORED):
        return Known("this change is known already", push.ref, head.change)
    return _skipped(push)


def _skipped(push: Push) -> Known | None:
    return Known(f"the commit's message asks for no deployment: {push.skips}", push.ref, moved=True) if push.skips else None


def _leads_nowhere(push: Push, origin: Origin) -> str:
    if not is_of(push.repository, origin):
        return f"the push is of {push.repository}, and the connection is for {origin.repository}"
    if len(push.ref) > LONGEST_REF or not is_ref(push.ref):
        return "the ref has a name that git does not allow, or a longer one than Slipway takes"
    if push.obstacle:
        return push.obstacle
    if push.commit is None:
        return "the ref was deleted: there is nothing to deploy"
    if push.commit == push.before:
        return "the head did not move"
    return ""


def change_of(push: Push, arrival: Arrival, number: int) -> ChangePushed:
    """The message; texts are cut to what a reader needs, so that it fits the bus whatever the forge sent.

    On which server the pusher has their account is the connection's word: a delivery could name any.
    """
    origin = arrival.origin
    assert push.commit is not None, "a deletion is no change"
    return ChangePushed(
        organization=origin.organization,
        project=origin.project,
        connection=origin.connection,
        repository=origin.repository or push.repository,
        clone_url=origin.clone_url or push.clone_url,
        ref=push.ref,
        commit=push.commit,
        before=push.before,
        arrival=number,
        pusher=push.pusher if push.pusher.forge == origin.forge else push.pusher.model_copy(update={"forge": origin.forge}),
        title=push.title[:200],
        author=push.author[:200],
        found_by=arrival.found_by,
        delivery=arrival.delivery,
        web_url=push.web_url,
    )


def cleaned(push: Push) -> Push:
    """The push with every text fit for storage."""
    return replace(
        push,
        repository=clean(push.repository)[:500],
        clone_url=clean(push.clone_url)[:2000],
        ref=clean(push.ref),
        pusher=cleaned_pusher(push.pusher),
        title=first_line(push.title),
        skips=skip_marker(push.title),
        author=clean(push.author),
        web_url=clean(push.web_url)[:2000] if push.web_url else None,
    )
