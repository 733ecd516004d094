/**
 * Brings the database's schema up to date, or takes back what one deployment changed:
 *
 *     node migrate.js           apply what is pending
 *     node migrate.js --undo    take back what this deployment applied, and nothing else
 *
 * What a deployment applied is noted with its id (SLIPWAY_DEPLOYMENT, which Slipway sets), so that an undo can never
 * reach further back than the deployment that failed.
 *
 * Rules for migrations: the former release goes on serving while they run, and again after a roll-back. So first expand
 * (add what is new, nullable or with a default), and contract (drop what is old) in a later release, when nothing reads it.
 */
import pg from "pg";
import { log } from "./log.js";
import { load, pending, undoable } from "./migrations.js";

// Any number that no other program takes a lock by: two migrations at once would race.
const LOCK = 20_260_711;
const BATCH = process.env.SLIPWAY_DEPLOYMENT || null;

async function applied(client) {
  await client.query(
    "CREATE TABLE IF NOT EXISTS schema_migrations (number int PRIMARY KEY, name text NOT NULL, batch text NOT NULL, at timestamptz NOT NULL DEFAULT now())",
  );
  return (await client.query("SELECT number, batch FROM schema_migrations")).rows;
}

/** Run a migration's statements and note it, both or neither. */
async function inTransaction(client, statements, note, values) {
  await client.query("BEGIN");
  try {
    // A table that is in use is waited for briefly: the requests behind a waiting ALTER TABLE wait too.
    await client.query("SET LOCAL lock_timeout = '5s'");
    await client.query(statements);
    await client.query(note, values);
    await client.query("COMMIT");
  } catch (error) {
    await client.query("ROLLBACK");
    throw error;
  }
}

async function up(client, migrations) {
  const rows = await applied(client);
  for (const { number, name, apply } of pending(migrations, rows)) {
    await inTransaction(client, apply, "INSERT INTO schema_migrations (number, name, batch) VALUES ($1, $2, $3)", [number, name, BATCH ?? "by hand"]);
    log("info", "applied", { migration: name });
  }
}

async function undo(client, migrations) {
  if (BATCH === null) throw new Error("Set SLIPWAY_DEPLOYMENT to the batch in schema_migrations that is to be taken back.");
  const rows = await applied(client);
  for (const migration of undoable(migrations, rows, BATCH)) {
    await inTransaction(client, migration.undo, "DELETE FROM schema_migrations WHERE number = $1", [migration.number]);
    log("info", "taken back", { migration: migration.name });
  }
}

const client = new pg.Client({ connectionString: process.env.DATABASE_URL, connectionTimeoutMillis: 10_000 });
try {
  const migrations = load(new URL("./migrations/", import.meta.url));
  await client.connect();
  await client.query("SELECT pg_advisory_lock($1)", [LOCK]);
  await (process.argv.includes("--undo") ? undo : up)(client, migrations);
  log("info", "the schema is as it should be");
} catch (error) {
  log("error", error.message, { code: error.code, detail: error.detail });
  process.exitCode = 1;
} finally {
  await client.end().catch(() => {});
}
