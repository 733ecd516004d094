"""What a change request's comment says of its previews. Pure."""

from collections.abc import Sequence

from services.notifier.comments.markdown import address, code, link
from services.notifier.comments.runs import Preview, Run
from services.notifier.providers.forges.states import Stage

LONGEST = 30_000
"""In characters; Bitbucket Data Center takes 32,768, the others more."""
_MOST = 20
"""Services and addresses of a preview that are named."""


def text_of(previews: Sequence[Preview], public_url: str) -> str:
    """A section for each preview; those that no forge would take any more are left out, and that is said."""
    sections = ["\n".join(_section(preview, public_url)) for preview in previews]
    while len("\n\n".join(sections)) > LONGEST:
        sections = [*sections[: -2 if sections[-1] == "…" else -1], "…"]
    return "\n\n".join(sections)


def _section(preview: Preview, public_url: str) -> list[str]:
    run = preview.newest
    lines = [
        _source(run),
        f"Why: {code(run.reason)}" if run.reason else "",
        _changes(run),
        _answers(preview),
        _times(run, public_url),
    ]
    head = f"**Slipway preview** {code(f'{run.project}/{run.environment}')}: **{_state(run)}**"
    return [head, "", *(f"- {line}" for line in lines if line)]


def _state(run: Run) -> str:
    if not run.removes:
        return run.words
    match run.stage:
        case Stage.QUEUED | Stage.RUNNING:
            return "Being removed"
        case Stage.SUCCEEDED:
            return "Gone"
        case _:
            return f"Not removed ({run.words})"


def _source(run: Run) -> str:
    commit = f"Commit {code(run.commit[:10])}" if run.commit else ""
    return ": ".join(part for part in (commit, code(run.title)) if part)


def _changes(run: Run) -> str:
    what = {"Built": run.built, "Restarted": run.restarted, "Kept": run.kept}
    return ". ".join(f"{word}: {_some([code(service) for service in services])}" for word, services in what.items() if services)


def _answers(preview: Preview) -> str:
    """Where the preview is reached; while it runs another commit than this one, which."""
    live = preview.live
    if live is None or not live.urls:
        return ""
    where = _some([address(url) for url in live.urls])
    return f"Answers at {where}" if live is preview.newest else f"Runs commit {code(live.commit[:10])} at {where}"


def _times(run: Run, public_url: str) -> str:
    took = f", took {(run.ended_at - run.created_at).total_seconds():.0f} s" if run.ended_at else ""
    page = f". {link('Deployment', f'{public_url}/deployments/{run.id}')}" if public_url else ""
    return f"Began {run.created_at:%Y-%m-%d %H:%M:%S} UTC{took}{page}"


def _some(items: Sequence[str]) -> str:
    more = f" and {len(items) - _MOST} more" if len(items) > _MOST else ""
    return ", ".join(items[:_MOST]) + more
