"""GitHub's own examples of deliveries, from the npm package @octokit/webhooks-examples: all of the events that Slipway reads, one of each other.

`python -m tests.component.webhooks.octokit [version]` takes them from another version of it; npm has to be there.
"""

import gzip
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

PACKAGE = "@octokit/webhooks-examples"
VERSION = "7.6.1"
FILE = "package/api.github.com/index.json"
READ = ("push", "create", "delete", "pull_request", "ping")
EXAMPLES = Path(__file__).resolve().parents[2] / "data" / "github" / "octokit" / "examples.json.gz"


def examples() -> list[tuple[str, dict[str, Any]]]:
    """Event and payload."""
    return [(event, payload) for event, payload in json.loads(gzip.decompress(EXAMPLES.read_bytes()))["examples"]]


def main() -> None:
    """Fetches, chooses, writes."""
    version = sys.argv[1] if len(sys.argv) > 1 else VERSION
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", f"{PACKAGE}@{version}"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as opened:
            found = opened.extractfile(FILE)
            assert found is not None, f"{FILE} is not in {PACKAGE} {version}"
            events = json.load(found)
    chosen = [(event["name"], payload) for event in events for payload in event["examples"][: None if event["name"] in READ else 1]]
    text = json.dumps({"package": PACKAGE, "version": version, "examples": chosen}, separators=(",", ":"), ensure_ascii=False)
    EXAMPLES.parent.mkdir(parents=True, exist_ok=True)
    EXAMPLES.write_bytes(gzip.compress(text.encode(), mtime=0))
    print(f"{len(chosen)} examples of {len(events)} events, {EXAMPLES.stat().st_size} bytes in {EXAMPLES}")


if __name__ == "__main__":
    main()
