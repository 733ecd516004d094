"""How soon the platform is ready, and how much memory it takes when nothing happens.

A platform of its own is started once (which makes everything that a first start makes), stopped, and started again some
times: `ready_s` is the median from the start of `slipway up --detach` until every health check is true and it came back.
Then it idles for a while, and the proportional set size (/proc/<pid>/smaps_rollup) of every process of the control plane
is read, NATS and PostgreSQL with its workers among them. What the data plane adds stands apart: load balancer and
registry in their containers, and the container engine, which other platforms on the machine share.

Other platforms on the machine share libraries with this one, which makes its share smaller: `alone_mb` is what it would be
without them (memory of its own, and every mapped file once).

Prints one JSON object on its last line: `ready_s` (at most 5), `pss_mb` (at most 450), `alone_mb`, `by_process`, `data_plane_mb`.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import psutil

from bench.instance import Instance, new_instance

_END_LIMIT_S = 90.0


def starts(instance: Instance, times: int) -> list[float]:
    """Seconds of each warm start; the last one is left running."""
    instance.slipway("up", "--detach")
    found = []
    for _ in range(times):
        instance.slipway("down", limit_s=_END_LIMIT_S)
        since = time.perf_counter()
        told = instance.slipway("up", "--detach", "--json")
        found.append(time.perf_counter() - since)
        print(f"ready after {found[-1]:.2f} s: {_parts(told)}", file=sys.stderr)
    return found


def _parts(told: str) -> str:
    """When each part was there, by the words of `slipway up --json`."""
    lines = [json.loads(line) for line in told.splitlines()]
    return ", ".join(f"{line['part']} {line['seconds']:.1f}" for line in lines if line.get("state") == "done")


def pss_mb(process: psutil.Process) -> float:
    """MB of one process; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def family_mb(pid: int) -> float:
    """MB of a process and all that it started."""
    process = psutil.Process(pid)
    return sum(pss_mb(member) for member in (process, *process.children(recursive=True)))


def control_plane(instance: Instance) -> dict[str, float]:
    """MB by process: each one with what it started itself, the supervisor alone."""
    supervisor = int((instance.home / "run" / "supervisor.pid").read_text())
    children = json.loads((instance.home / "run" / "processes.json").read_text())
    found = {child["name"]: family_mb(child["pid"]) for child in children}
    left = sum(pss_mb(member) for member in psutil.Process(supervisor).children(recursive=True)) - sum(found.values())
    return {"supervisor": pss_mb(psutil.Process(supervisor)), **found, "other": max(0.0, left)}


def alone_mb(instance: Instance) -> float:
    """MB of the control plane if nothing else on the machine mapped its files; an upper bound where processes map different parts."""
    supervisor = psutil.Process(int((instance.home / "run" / "supervisor.pid").read_text()))
    own, files = 0, dict[str, int]()
    for process in (supervisor, *supervisor.children(recursive=True)):
        for mapped in process.memory_maps(grouped=True):
            if mapped.path.startswith("/") and not mapped.path.startswith(("/dev/", "/SYSV")):
                own += min(mapped.anonymous, mapped.pss)
                files[mapped.path] = max(files.get(mapped.path, 0), mapped.rss - mapped.anonymous)
            else:
                own += mapped.pss
    return (own + sum(files.values())) / 1024**2


def data_plane(instance: Instance) -> dict[str, float]:
    """MB of load balancer, registry, the shims that hold their containers, and the engine."""
    name = (instance.home / "instance").read_text().strip()
    found = {}
    for role in ("traefik", "registry"):
        pid = int(docker("inspect", "--format", "{{.State.Pid}}", f"{name}-{role}"))
        found[role] = family_mb(pid)
        found[f"{role}_shim"] = pss_mb(psutil.Process(psutil.Process(pid).ppid()))
    engines = [process for process in psutil.process_iter(["name"]) if process.info["name"] in {"dockerd", "containerd"}]
    return found | {"engine_shared": sum(pss_mb(process) for process in engines)}


def docker(*arguments: str) -> str:
    """What the container engine's command line prints."""
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True, timeout=_END_LIMIT_S).stdout.strip()


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=5, help="warm starts")
    parser.add_argument("--idle", type=float, default=20.0, help="seconds before memory is read")
    options = parser.parse_args()
    with new_instance() as instance:
        ready = starts(instance, options.starts)
        time.sleep(options.idle)
        processes, beside, alone = control_plane(instance), data_plane(instance), alone_mb(instance)
    print(
        json.dumps(
            {
                "ready_s": round(statistics.median(ready), 2),
                "ready_worst_s": round(max(ready), 2),
                "pss_mb": round(sum(processes.values()), 1),
                "alone_mb": round(alone, 1),
                "by_process": {name: round(size, 1) for name, size in processes.items()},
                "data_plane_mb": {name: round(size, 1) for name, size in beside.items()},
                "starts": options.starts,
                "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            }
        )
    )


if __name__ == "__main__":
    main()
