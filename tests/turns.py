"""Which tests run in one worker, and which of them first: a run hands out whole files, or several that share what is costly to start."""

from collections.abc import Mapping, Sequence

_FIRST = ("tests/e2e/", "tests/simulation/")
_SIDE_BY_SIDE = ("tests/integration/", "tests/component/")
_TOGETHER = (
    ("tests/e2e/test_bad_input.py", "tests/e2e/test_gates.py", "tests/e2e/test_graceful_stop.py"),
    ("tests/e2e/test_lost_webhook.py", "tests/e2e/test_monorepo.py", "tests/e2e/test_previews.py"),
)
"""The platform of tests/e2e, in two parts that take about as long."""


def together(test: str) -> str:
    """The name of what a test, by its id, is handed out with: its file, or the first of those that share something."""
    file = test.partition("::")[0]
    return next((files[0] for files in _TOGETHER if file in files), file)


def turns(files: Sequence[str]) -> Mapping[str, float]:
    """Where several workers share the files, none is left alone with a long one in the end, nor do all of them wait at the same time."""
    found = {file: 0.0 if file.startswith(_FIRST) else 2.0 for file in files}
    for folder in _SIDE_BY_SIDE:
        inside = [file for file in files if file.startswith(folder)]
        found |= {file: 1 + number / len(inside) for number, file in enumerate(inside)}
    return found
