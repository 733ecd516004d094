"""docs/faults.md: the table, rendered from the ledger beside it."""

from collections.abc import Iterable, Sequence

from tests.faults.strikes.kinds import KINDS
from tests.faults.strikes.ledger import Ledger, Run, markdown, newest, of_code, table
from tests.faults.strikes.moments import BOUNDARIES

_WORDS = """\
# Faults

What `make faults` found: a whole platform on a machine of its own (namespaces, with an engine of its own), four environments under
load, and strikes while deployments are under way: good ones, failing ones, superseded and cancelled ones, pushed with git or delivered
by a forge. Half of the strikes fall at a step's boundary, the others at a random moment; a seed chooses them.

After each run: every accepted push led to a settled Change (else *lost*); every deployment has ended (else *endless*); each ended as its
commit leads one to expect; what runs equals the record, object by object; no container, network, volume, route, image or build folder is
left over; no request failed but those under way while the load balancer, or in a reboot the application itself, was killed and not back yet;
every row that an application acknowledged is there (else *wrong*). *Slowest end*: of a run with one kill, how much later than usual its
slowest deployment ended, counted from when what was killed was ready again; the promise is 30 s.

It is done in as many sittings as it takes: every run is a line of [faults.jsonl](faults.jsonl), and `make faults` goes on from there. A run
says something of a version for as long as nothing below services, shared and embedded changes: older ones are history, and count as
*strikes ever* alone. A strike *struck* if its moment came, something was under way, and there was something to hit. What was found stays
listed until that run is made again.
"""


def write(ledger: Ledger) -> None:
    """Replaces the page of a ledger, which lies beside it."""
    ledger.path.with_suffix(".md").write_text(render(ledger.runs))


def render(runs: Sequence[Run]) -> str:
    """The page of these runs."""
    code = next((run.code for run in reversed(runs) if run.code), "")
    counted = of_code(runs, code)
    about = {
        "this version": _each(run.version for run in counted) or "none",
        "boundaries met": _met(counted),
        "boundaries that a kill met": _met([run for run in counted if run.kind in KINDS and KINDS[run.kind].kills]),
        "seed": _each(str(run.seed) for run in counted),
        "requests meanwhile": f"{sum(run.requests for run in counted):,}",
        "on": _each(part for run in counted for part in run.stack),
        "before it": _each(run.version for run in runs if run not in counted),
    }
    found = [
        f"- {run.kind}, turn {run.turn} of seed {run.seed}, at {run.version}: {word}"
        for run in newest(runs)
        for word in (*run.lost, *run.endless, *run.wrong)
    ]
    parts = [_WORDS, markdown(list(table(runs, list(KINDS), code))), "", *(f"- {name}: {value}" for name, value in about.items() if value)]
    if found:
        parts += ["", "## Found", "", *found]
    return "\n".join(parts) + "\n"


def _met(runs: Sequence[Run]) -> str:
    """How many of the boundaries strikes fell at, and which are left."""
    met = frozenset[str]().union(*(run.boundaries for run in runs))
    left = [str(boundary) for boundary in BOUNDARIES if str(boundary) not in met]
    return f"{len(BOUNDARIES) - len(left)} of {len(BOUNDARIES)}" + (f"; not: {', '.join(left)}" if left else "")


def _each(words: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(words))
