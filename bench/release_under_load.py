"""Releases and roll-backs under steady load: no request may fail.

A platform of its own runs examples/todo. While a second process (bench/load.py) sends at least 200 requests/s through the
load balancer and TLS, on connections kept alive and new ones, this one pushes versions and rolls back: two releases, one
roll-back, over and over. After each, the version that shall answer does.

Prints one JSON object on its last line: `releases`, `rollbacks`, `requests`, `failed` (to be 0), and how fast it went.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.front import Front
from bench.instance import HOST, Instance, running_instance
from bench.push_to_live import change

STEP_LIMIT_S = 120.0
LOAD_LIMIT_S = 300.0


class Sender:
    """The second process."""

    def __init__(self, instance: Instance, rate: float) -> None:
        arguments = [HOST, str(instance.https_port), str(instance.authority), f"--rate={rate}"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.load", *arguments],
            cwd=ROOT,
            env=instance.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.sent = self.failed = 0
        self._words: list[str] = []
        threading.Thread(target=self._hear, daemon=True).start()

    def _hear(self) -> None:
        for line in self._process.stderr or ():
            numbers = line.split()
            if len(numbers) == 2 and all(number.isdigit() for number in numbers):
                self.sent, self.failed = map(int, numbers)
            else:
                self._words.append(line)

    def until(self, requests: int) -> None:
        """Waits for as many requests; raises where the process ends or takes too long."""
        deadline = time.monotonic() + LOAD_LIMIT_S
        while self.sent < requests:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the load ended at {self.sent} requests: {''.join(self._words)[-2000:]}")
            time.sleep(0.1)

    def end(self) -> dict[str, object]:
        """Its report."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        if self._process.wait(timeout=60):
            raise RuntimeError("".join(self._words)[-2000:])
        report: dict[str, object] = json.loads(self._process.stdout.read())
        return report

    def kill(self) -> None:
        """Ends it, whatever it does."""
        self._process.kill()
        self._process.wait(timeout=10)


@contextmanager
def sender(instance: Instance, rate: float) -> Iterator[Sender]:
    """Sends until the end of the block."""
    made = Sender(instance, rate)
    try:
        yield made
    finally:
        made.kill()


def changes(instance: Instance, checkout: Path, load: Sender, releases: int, rollbacks: int) -> None:
    """Does them all; `history` is what ran, the newest last."""
    front = Front(HOST, instance.https_port, instance.authority)
    history = ["0"]
    done = {"releases": 0, "rollbacks": 0}
    while done["releases"] < releases or done["rollbacks"] < rollbacks:
        back = done["rollbacks"] < rollbacks and (done["releases"] >= 2 * (done["rollbacks"] + 1) or done["releases"] >= releases)
        since = time.monotonic()
        if back:
            history.append(history[-2])
            instance.slipway("rollback", "--environment=production", folder=checkout, limit_s=STEP_LIMIT_S)
        else:
            history.append(str(done["releases"] + 1))
            _release(instance, checkout, history[-1])
        front.until(history[-1], STEP_LIMIT_S)
        done["rollbacks" if back else "releases"] += 1
        words = "back to" if back else "released"
        took = time.monotonic() - since
        print(f"{words} {history[-1]} in {took:.1f} s; {load.sent} requests, {load.failed} failed", file=sys.stderr)
    front.close()


def _release(instance: Instance, checkout: Path, version: str) -> None:
    change(checkout, version)
    instance.git(checkout, "commit", "--quiet", "--all", f"--message=Version {version}")
    instance.slipway("push", folder=checkout, limit_s=STEP_LIMIT_S)


def main() -> None:
    """Measures and prints; ends with status 1 where a request failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--releases", type=int, default=20)
    parser.add_argument("--rollbacks", type=int, default=10)
    parser.add_argument("--requests", type=int, default=20_000, help="at least so many")
    parser.add_argument("--rate", type=float, default=220.0, help="requests a second")
    options = parser.parse_args()
    with running_instance() as instance, tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder:
        checkout = instance.checkout(Path(folder))
        _release(instance, checkout, "0")
        with sender(instance, options.rate) as load:
            load.until(1)
            changes(instance, checkout, load, options.releases, options.rollbacks)
            load.until(options.requests)
            report = load.end()
    print(
        json.dumps(
            {
                "releases": options.releases,
                "rollbacks": options.rollbacks,
                **report,
                "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            }
        )
    )
    if report["failed"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
