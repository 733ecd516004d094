"""The variants with a database. `base` is the reference of an image with `psql`: the one of PostgreSQL."""

from dataclasses import replace

from tests.apps.repository import App
from tests.apps.web import manifest, web

_INDEX = """\
#!/bin/sh
if rows=$(psql "$DATABASE_URL" -qAtc "INSERT INTO visits DEFAULT VALUES; SELECT count(*) FROM visits" 2>&1); then
    printf 'Status: 200 OK\\r\\nContent-Type: application/json\\r\\n\\r\\n{"version": "%s", "visits": %s}\\n' "$VERSION" "$rows"
else
    printf 'Status: 503 Service Unavailable\\r\\nContent-Type: text/plain\\r\\n\\r\\n%s\\n' "$rows"
fi
"""

_HEALTH = """\
#!/bin/sh
if psql "$DATABASE_URL" -qAtc "SELECT FROM visits LIMIT 1" >/dev/null 2>&1; then status='200 OK'; else status='503 Down'; fi
printf 'Status: %s\\r\\n\\r\\n' "$status"
"""

_MIGRATE = """\
#!/bin/sh
set -e
psql "$DATABASE_URL" -v ON_ERROR_STOP=1 -qc "CREATE TABLE IF NOT EXISTS visits (id bigserial PRIMARY KEY, at timestamptz DEFAULT now())"
echo "the schema of version $VERSION is there"
"""

_FAIL = """\
#!/bin/sh
set -e
psql "$DATABASE_URL" -v ON_ERROR_STOP=1 -qc "CREATE TABLE half_done ()"
echo "made half_done"
psql "$DATABASE_URL" -v ON_ERROR_STOP=1 -qc "ALTER TABLE nowhere ADD COLUMN x int"
"""

_UNDO = """\
#!/bin/sh
set -e
psql "$DATABASE_URL" -v ON_ERROR_STOP=1 -qc "DROP TABLE IF EXISTS half_done"
echo "took half_done back"
"""


def with_database(base: str, *, version: str = "1", major: str = "18", storage: str = "1Gi") -> App:
    """Counts its visits in a database whose table a migration job makes; healthy only with the table."""
    rest = (
        f'databases:\n  db: {{engine: postgresql, version: "{major}", storage: {storage}}}\n'
        "jobs:\n  migrate: {service: web, command: [/app/migrate.sh], repeatable: true, timeout: 30s}\n"
    )
    text = manifest("health: {http: /cgi-bin/health, start_period: 10s, interval: 100ms}", "databases: [db]", rest=rest)
    return (
        web("with-database", base, version=version, text=text)
        .with_file("app/www/cgi-bin/index.cgi", _INDEX)
        .with_file("app/www/cgi-bin/health", _HEALTH)
        .with_file("app/migrate.sh", _MIGRATE)
    )


def failing_migration(base: str, *, version: str = "2", undo: bool = True) -> App:
    """Its migration makes the table `half_done` and then fails; the undo command drops it."""
    app = replace(with_database(base, version=version), name="failing-migration").with_file("app/migrate.sh", _FAIL)
    if not undo:
        return app
    return app.with_file("app/undo.sh", _UNDO).with_text(
        "slipway.yaml", "command: [/app/migrate.sh]", "command: [/app/migrate.sh], undo: [/app/undo.sh]"
    )
