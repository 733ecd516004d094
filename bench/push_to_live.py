"""From push to live: a one-line change of examples/todo, by the bare tools and by Slipway in turn, in one run.

By hand: docker build, push, run of the migration, run, wait until healthy, Traefik's file, until the new version answers
over TLS through the load balancer. The base image is cached for both; limits and rights of the containers are the same.
Slipway: from the update of the ref on its git remote (the moment the push has arrived) to the same.

Prints one JSON object on its last line:
- `bare_median_s`: build, push, run, wait and switch by hand (the migration is not in it, `migrate_median_s` is);
- `slipway_median_s`: from push to live;
- `own_median_s`: what Slipway took in a round beyond the same work by hand (migration included): messages, decisions,
  checks, bookkeeping;
- `own_to_bare`: their ratio, to be at most 0.8;
- `by_hand`: the median of each step by hand; `steps`: seconds and share of each of Slipway's steps, from the deployment's
  events. `between` is when no step was at work. Steps overlap, so shares may add up to more than one.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.by_hand import ByHand, by_hand
from bench.front import Front
from bench.instance import HOST, PLACE, Instance, registry_port, running_instance
from bench.timeline import intervals, shares
from cli.client import Api
from shared.contracts.events import Event

LIVE_LIMIT_S = 120.0
_BARE = ("build", "push", "run", "wait", "switch")


@dataclass(frozen=True)
class Round:
    """Both ways once."""

    hand: dict[str, float]
    slipway_s: float
    steps: dict[str, float]

    @property
    def bare_s(self) -> float:
        """The five tools."""
        return sum(self.hand[step] for step in _BARE)

    @property
    def own_s(self) -> float:
        """Slipway's time beyond that of the same work by hand."""
        return self.slipway_s - sum(self.hand.values())


def change(checkout: Path, version: str) -> None:
    """The one line."""
    (checkout / "version.js").write_text(f'export const VERSION = "{version}";\n')


def by_slipway(instance: Instance, api: Api, front: Front, checkout: Path, version: str) -> tuple[float, dict[str, float]]:
    """Seconds from push to live, and of each step. Comes back when the deployment has ended."""
    change(checkout, version)
    instance.git(checkout, "commit", "--quiet", "--all", f"--message=Version {version}")
    commit = instance.git(checkout, "rev-parse", "HEAD").strip()
    with subprocess.Popen(
        ["git", "push", "--quiet", "slipway", "main"],
        cwd=checkout,
        env=instance.environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as push:
        try:
            live = front.until(version, LIVE_LIMIT_S)
            words = push.communicate(timeout=LIVE_LIMIT_S)[1]
        finally:
            push.kill()
    if push.returncode:
        raise RuntimeError(f"git push ended with {push.returncode}: {words.decode()[-2000:]}")
    arrived = (instance.home / "repositories" / f"{PLACE}.git" / "refs" / "heads" / "main").stat().st_mtime
    return live - arrived, shares(intervals(_events(api, commit)), arrived, live)


def _events(api: Api, commit: str) -> list[Event]:
    """Of the deployment of this commit, which has succeeded."""
    deadline = time.monotonic() + LIVE_LIMIT_S
    while True:
        found = next((item for item in api.items("/deployments", {"project": "todo"}, most=10) if item["commit"] == commit), None)
        if found is not None and found["ended_at"] is not None:
            if found["state"] != "succeeded":
                raise RuntimeError(f"the deployment {found['id']} ended as {found['state']}: {found['reason']}")
            return [Event.model_validate(item) for item in api.items(f"/deployments/{found['id']}/events")]
        if time.monotonic() > deadline:
            raise TimeoutError(f"the deployment of {commit} does not end")
        time.sleep(0.1)


def _first(instance: Instance, hand: ByHand, folder: Path) -> Path:
    """Both run a first version before anything is measured."""
    checkout = instance.checkout(folder)
    change(checkout, "first")
    instance.git(checkout, "commit", "--quiet", "--all", "--message=First version")
    instance.slipway("push", folder=checkout)
    hand.deploy(checkout, "first")
    return checkout


def measure(rounds: int) -> list[Round]:
    """In turn, in one run; a word a round on standard error."""
    found = []
    with running_instance() as instance, tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder:
        substitutes = json.loads((instance.home / "run" / "substitutes.json").read_text())
        base = json.loads(substitutes.get("SLIPWAY_BUILD_ARGS", "{}")).get("NODE_IMAGE", "node:22-slim")
        postgres = json.loads(substitutes.get("SLIPWAY_POSTGRES_IMAGES", "{}")).get("18", "postgres:18")
        with by_hand(f"127.0.0.1:{registry_port(instance)}", base, postgres) as hand:
            checkout = _first(instance, hand, Path(folder))
            api, front = instance.api(), Front(HOST, instance.https_port, instance.authority)
            for number in range(rounds):
                change(checkout, f"h{number}")
                tools = hand.deploy(checkout, f"h{number}")
                slipway_s, steps = by_slipway(instance, api, front, checkout, f"s{number}")
                found.append(Round(tools, slipway_s, steps))
                print(f"bare {found[-1].bare_s:.2f} s, slipway {slipway_s:.2f} s, own {found[-1].own_s:.2f} s", file=sys.stderr)
            front.close()
            api.close()
    return found


def report(found: Sequence[Round]) -> dict[str, object]:
    """Medians over the rounds."""
    bare = statistics.median(one.bare_s for one in found)
    slipway = statistics.median(one.slipway_s for one in found)
    own = statistics.median(one.own_s for one in found)
    steps = {step: statistics.median(one.steps.get(step, 0.0) for one in found) for step in found[-1].steps}
    return {
        "bare_median_s": round(bare, 3),
        "slipway_median_s": round(slipway, 3),
        "own_median_s": round(own, 3),
        "own_to_bare": round(own / bare, 2),
        "migrate_median_s": round(statistics.median(one.hand["migrate"] for one in found), 3),
        "arrival": "ref update on Slipway's git remote",
        "rounds": len(found),
        "by_hand": {step: round(statistics.median(one.hand[step] for one in found), 3) for step in found[-1].hand},
        "steps": {step: {"s": round(seconds, 3), "share": round(seconds / slipway, 3)} for step, seconds in steps.items()},
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    print(json.dumps(report(measure(parser.parse_args().rounds))))


if __name__ == "__main__":
    main()
