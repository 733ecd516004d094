"""The post-receive hook: hands the ref updates to webhooks, and prints what it says, until it has no more to say.

Runs by itself under git (`python -IS`), so it imports nothing of the project. It always ends with 0: the refs are
updated, and nothing that it could say changes that.
"""

import os
import socket
import sys


def main() -> None:
    """Standard input has a line `<old> <new> <ref>` for each update."""
    updates = sys.stdin.buffer.read()
    out = sys.stdout.buffer
    heard = False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(60)
            connection.connect(os.environ["SLIPWAY_SOCKET"])
            connection.sendall(os.environ["SLIPWAY_PUSH"].encode() + b"\n" + updates + b"\n")
            for line in connection.makefile("rb"):
                heard = True
                out.write(line)
                out.flush()
        if not heard:
            raise ConnectionResetError
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # The pusher has left.
    except (OSError, KeyError):
        out.write(CUT if heard else UNHEARD)
        out.flush()


CUT = b"\nSlipway stopped telling. The deployment goes on: slipway deployments shows it.\n"
UNHEARD = (
    b"\nSlipway could not be told of this push just now. It is kept, and will be found and deployed within a minute.\n"
    b"A newer push of its branch, made before that, takes its place.\n"
)

main()
sys.exit(0)
