"""docs/faults.md: the table, rendered from the ledger beside it."""

from collections.abc import Iterable, Sequence

from tests.faults.cases import Cases, file_of, told
from tests.faults.strikes.kinds import KINDS
from tests.faults.strikes.kinds.strike import Strike
from tests.faults.strikes.ledger import Ledger, Run, markdown, newest, of_code, table
from tests.faults.strikes.moments import BOUNDARIES

_WORDS = """\
# Faults

What `make faults` found: a whole platform on a machine of its own (namespaces, with an engine of its own), four environments under
load, and strikes while deployments are under way: good ones, failing ones, superseded and cancelled ones, pushed with git or delivered
by a forge. Each second strike of a kind falls at a step's boundary (its command, or its answer, passes on the bus), the others at a random
moment; a seed chooses them. All kinds walk over the boundaries in one order, each from another beginning.

After each run:

- Every push was accepted in the end (its forge's delivery was answered, or its ref stands in Slipway's own remote), and each that was
  led to a settled Change, else it is *lost*. Left out is a `git push` that was told "It is kept" (PostgreSQL was away) where a newer one
  replaced it on its branch before the platform found it. A cancel that was taken was done or refused, else it is *lost*, too.
- Every deployment has ended (else *endless*); one that is stuck is *wrong*.
- Each ended as its commit leads one to expect, else it is *wrong*: a good one succeeded; one that does not build failed; one that crashes
  or never gets healthy was rolled back; one that was superseded or cancelled was, or had succeeded before. Where the strike hits a
  build or a participant's word, any deployment may end otherwise:
{excused}
- What runs equals the record, object by object; `slipway doctor` finds no difference; no container, network, volume, route, image or
  build folder is left over; no request failed but those under way while the load balancer, or in a reboot the application itself, was
  killed and not back yet; every row that an application acknowledged is there (else *wrong*). A `git push`, which shows its pipeline, may
  break off where Traefik or webhooks, which it goes through, was another process afterwards; its deployment goes on.

*Slowest end*: of a run with one kill, how much later than usual its slowest deployment ended, counted from when what was killed was ready
again; the promise is 30 s, and more is *wrong*. NATS and PostgreSQL are away for most of a minute, each third time for 130 to 200 s.

It is done in as many sittings as it takes: every run is a line of [faults.jsonl](faults.jsonl), and `make faults` goes on from there. A run
says something of a version for as long as nothing below services, shared and embedded changes: older ones are history, and count as
*strikes ever* alone. A strike *struck* if its moment came, something was under way, and there was something to hit. What was found stays
listed until that run is made again, also where that was an older version.
"""

_BEFORE = """\
## Before the strikes

`make faults` runs schedules of the simulation, which its seed chooses, and each fault of the saga's table at each step, of which none is
by chance. What was good is not run again for as long as neither the platform changes nor what judges it
([faults.cases.jsonl](faults.cases.jsonl)).
"""


def write(ledger: Ledger) -> None:
    """Replaces the page of a ledger, which lies beside it."""
    ledger.path.with_suffix(".md").write_text(render(ledger.runs, Cases.read(file_of(ledger.path))))


def render(runs: Sequence[Run], cases: Sequence[Cases] = ()) -> str:
    """The page of these runs, and of the cases before them."""
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
        f"- {run.kind}, turn {run.turn} of seed {run.seed}, at {run.version}{'' if run.code == code else ', an older version'}: {word}"
        for run in newest(runs)
        for word in (*run.lost, *run.endless, *run.wrong)
    ]
    parts = [
        _WORDS.format(excused="\n".join(map(_excused, filter(_excuses, KINDS.values())))),
        markdown(list(table(runs, list(KINDS), code))),
        "",
        *(f"- {name}: {value}" for name, value in about.items() if value),
    ]
    parts += ["", _BEFORE, *told(cases, code)]
    if found:
        parts += ["", "## Found", "", *found]
    return "\n".join(parts) + "\n"


def _excuses(strike: Strike) -> bool:
    return bool(strike.may_end or strike.retried)


def _excused(strike: Strike) -> str:
    retried = "; what is stuck is retried, as its alert asks a person to" if strike.retried else ""
    return f"  - {strike.name}: {', '.join(sorted(strike.may_end))}{retried}"


def _met(runs: Sequence[Run]) -> str:
    """How many of the boundaries strikes fell at, and which are left."""
    met = frozenset[str]().union(*(run.boundaries for run in runs))
    left = [str(boundary) for boundary in BOUNDARIES if str(boundary) not in met]
    return f"{len(BOUNDARIES) - len(left)} of {len(BOUNDARIES)}" + (f"; not: {', '.join(left)}" if left else "")


def _each(words: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(words))
