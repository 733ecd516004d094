"""The small applications that are deployed: one that keeps rows, one that keeps nothing, and what may be wrong with either."""

from collections.abc import Callable
from enum import StrEnum

from tests.apps import App, good, with_database
from tests.apps.bases import Bases

_ROWS = """\
#!/bin/sh
token=$(printf %s "$QUERY_STRING" | tr -cd a-z0-9)
if said=$(psql "$DATABASE_URL" -v ON_ERROR_STOP=1 -qAtc "INSERT INTO kept VALUES ('$token')" 2>&1); then
    printf 'Status: 200 OK\\r\\nContent-Type: text/plain\\r\\n\\r\\n%s\\n' "$token"
else
    printf 'Status: 503 Service Unavailable\\r\\nContent-Type: text/plain\\r\\n\\r\\n%s\\n' "$said"
fi
"""
_TABLE = 'psql "$DATABASE_URL" -v ON_ERROR_STOP=1 -qc "CREATE TABLE IF NOT EXISTS kept (token text PRIMARY KEY)"\n'
_CRASH = "#!/bin/sh\necho cannot find /etc/app.conf >&2\nexit 3\n"
_SICK = "#!/bin/sh\nprintf 'Status: 500 Internal Server Error\\r\\n\\r\\nthe cache is cold\\n'\n"


class Flaw(StrEnum):
    """What is wrong with a commit."""

    NONE = "good"
    CRASHES = "crashes"
    NEVER_HEALTHY = "never healthy"
    DOES_NOT_BUILD = "does not build"


ENDS = {Flaw.NONE: "succeeded", Flaw.CRASHES: "rolled_back", Flaw.NEVER_HEALTHY: "rolled_back", Flaw.DOES_NOT_BUILD: "failed"}
"""How a deployment of it ends when nothing disturbs it."""


def application(bases: Bases, version: str, *, rows: bool, flaw: Flaw = Flaw.NONE) -> App:
    """One version; its build takes a second, so that there is something to strike."""
    made = _with_rows(bases.postgres, version) if rows else good(bases.shell, version=version)
    made = made.with_file("app/www/version", f"{version}\n").with_text("Dockerfile", "ENTRYPOINT []", "RUN sleep 0.7\nENTRYPOINT []")
    return _FLAWS[flaw](made)


def _with_rows(base: str, version: str) -> App:
    made = with_database(base, version=version).with_file("app/www/cgi-bin/rows", _ROWS)
    return made.with_text("app/migrate.sh", "set -e\n", f"set -e\n{_TABLE}")


def _never_healthy(app: App) -> App:
    manifest = app.files["slipway.yaml"]
    health = next(line for line in manifest.splitlines() if line.strip().startswith("health:"))
    sick = "    health: {http: /cgi-bin/sick, start_period: 1s, interval: 100ms}"
    return app.with_text("slipway.yaml", health, sick).with_file("app/www/cgi-bin/sick", _SICK)


_FLAWS: dict[Flaw, Callable[[App], App]] = {
    Flaw.NONE: lambda app: app,
    Flaw.CRASHES: lambda app: app.with_file("app/serve.sh", _CRASH),
    Flaw.NEVER_HEALTHY: _never_healthy,
    Flaw.DOES_NOT_BUILD: lambda app: app.with_text("Dockerfile", "ENTRYPOINT []", "RUN echo 'main.c:3: no' >&2; exit 7\nENTRYPOINT []"),
}
