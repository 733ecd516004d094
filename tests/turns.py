"""Which tests run in one worker, and which of them first: a run hands out whole files, or several that share what is costly to start."""

from collections.abc import Mapping, Sequence

_FIRST = ("tests/e2e/",)
_SIDE_BY_SIDE = ("tests/integration/", "tests/component/")
_NEVER_WAITING = ("tests/simulation/",)
_MOST_WAIT = 1.72
"""From about here on, most of the others wait for what is to happen, and a processor would be idle."""
_TOGETHER = (
    ("tests/e2e/test_bad_input.py", "tests/e2e/test_gates.py", "tests/e2e/test_graceful_stop.py"),
    ("tests/e2e/test_lost_webhook.py", "tests/e2e/test_monorepo.py", "tests/e2e/test_previews.py"),
    ("tests/component/builder/",),
)
"""The platform of tests/e2e, in two parts that take about as long; an engine of the builder's own, and its base image."""


def together(test: str) -> str:
    """The name of what a test, by its id, is handed out with: its file, or the first name of those that share something."""
    return next((names[0] for names in _TOGETHER if test.startswith(names)), test.partition("::")[0])


def turns(files: Sequence[str]) -> Mapping[str, float]:
    """Where several workers share the files, none is left alone with a long one in the end, nor do all of them wait at the same time."""
    found = {file: 0.0 if file.startswith(_FIRST) else 2.0 for file in files}
    for folder in _SIDE_BY_SIDE:
        inside = [file for file in files if file.startswith(folder)]
        found |= {file: 1 + number / len(inside) for number, file in enumerate(inside)}
    return found | {file: _MOST_WAIT for file in files if file.startswith(_NEVER_WAITING)}
