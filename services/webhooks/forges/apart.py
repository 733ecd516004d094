"""Reads one delivery in a program of its own: `python -m services.webhooks.forges.apart <forge>`, for `reading.Reader`.

Standard input: a line with the headers as JSON, then the body. Standard output: the `Reading`, or why there is none, pickled.
"""

import json
import pickle
import resource
import sys

from services.webhooks.forges import FORGES
from services.webhooks.forges.document import Unreadable
from services.webhooks.forges.port import Reading

MEMORY = 1024 * 1024 * 1024
"""Bytes that reading may take. 25 MB of text need 100 MB; of brackets alone, as no forge sends them, several times this."""


def main() -> None:
    """Reads and says what it read."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    headers = json.loads(sys.stdin.buffer.readline())
    body = sys.stdin.buffer.read()
    sys.stdout.buffer.write(pickle.dumps(_read(sys.argv[1], headers, body)))


def _read(forge: str, headers: dict[str, str], body: bytes) -> Reading | str:
    try:
        return FORGES[forge]().read(headers, body)
    except Unreadable as error:
        return str(error)
    except MemoryError:
        return f"it takes more than {MEMORY // 1024**2} MB of memory to read"


if __name__ == "__main__":
    main()
