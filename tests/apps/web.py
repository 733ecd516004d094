"""The web application that the variants differ from: busybox's httpd with scripts, answering JSON."""

import json

from tests.apps.repository import App

PORT = 8080

_SERVE = """\
#!/bin/sh
# Serves until SIGTERM, and then for a moment more: requests may still be on their way.
echo "version $VERSION starts on port $LISTEN"
httpd -f -p "$LISTEN" -h /app/www &
server=$!
trap 'echo stopping; sleep 0.3; kill $server; exit 0' TERM
wait $server
"""

_INDEX = """\
#!/bin/sh
printf 'Status: 200 OK\\r\\nContent-Type: application/json\\r\\n\\r\\n'
printf '{"version": "%s", "colour": "%s", "variable": "%s", "host": "%s"}\\n' "$VERSION" "$COLOUR" "$VARIABLE" "$(hostname)"
"""

_SLOW = """\
#!/bin/sh
sleep 2
printf 'Status: 200 OK\\r\\nContent-Type: text/plain\\r\\n\\r\\nslow but whole, version %s\\n' "$VERSION"
"""


def dockerfile(base: str, *, version: str, colour: str, listen: int = PORT, more: str = "") -> str:
    """The Dockerfile of a web application; `more` are lines before its command."""
    return (
        f"FROM {base}\nCOPY app /app\n"
        f"ENV VERSION={json.dumps(version)} COLOUR={json.dumps(colour)} LISTEN={listen}\n"
        f'{more}ENTRYPOINT []\nCMD ["/app/serve.sh"]\n'
    )


def manifest(*lines: str, name: str = "web", rest: str = "") -> str:
    """A `slipway.yaml` with one service on the usual port; `lines` are further keys of it, `rest` what follows it."""
    keys = [
        f"port: {PORT}",
        "health: {http: /healthz, start_period: 5s, interval: 100ms}",
        "resources: {memory: 64Mi}",
    ]
    given = {line.partition(":")[0] for line in lines}
    kept = [key for key in keys if key.partition(":")[0] not in given]
    return f"services:\n  {name}:\n" + "".join(f"    {line}\n" for line in (*kept, *lines)) + rest


def web(name: str, base: str, *, version: str, colour: str = "blue", listen: int = PORT, more: str = "", text: str = "") -> App:
    """`/` answers its version, colour and $VARIABLE; `/healthz` 200; `/cgi-bin/slow` after two seconds."""
    return App(
        name,
        {
            "slipway.yaml": text or manifest(),
            "Dockerfile": dockerfile(base, version=version, colour=colour, listen=listen, more=more),
            "app/serve.sh": _SERVE,
            "app/www/healthz": "ok\n",
            "app/www/cgi-bin/index.cgi": _INDEX,
            "app/www/cgi-bin/slow": _SLOW,
        },
    )
