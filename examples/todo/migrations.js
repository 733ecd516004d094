import { readdirSync, readFileSync } from "node:fs";

const NAME = /^(\d{4})_[a-z0-9_]+\.sql$/;
const UNDO = /^-- undo\s*$/m;

/** A file's two halves; `undo` is null where it has none. */
export function parse(name, text) {
  const [apply, undo, ...more] = text.split(UNDO);
  if (more.length) throw new Error(`${name} has more than one "-- undo" line`);
  if (!apply.trim()) throw new Error(`${name} has no statement before "-- undo"`);
  return { number: Number(NAME.exec(name)[1]), name, apply: apply.trim(), undo: undo?.trim() || null };
}

/** All migrations of a folder in their order; two with one number are an error. */
export function load(folder) {
  const names = readdirSync(folder).filter((name) => name.endsWith(".sql")).sort();
  const wrong = names.find((name) => !NAME.test(name));
  if (wrong) throw new Error(`${wrong} is not called NNNN_name.sql`);
  const migrations = names.map((name) => parse(name, readFileSync(new URL(name, folder), "utf8")));
  const twice = migrations.find((migration, index) => migration.number === migrations[index - 1]?.number);
  if (twice) throw new Error(`${twice.name} has the number of another migration`);
  return migrations;
}

/** What is still to be applied. `applied` are rows {number, batch}. */
export function pending(migrations, applied) {
  const done = new Set(applied.map((row) => row.number));
  return migrations.filter((migration) => !done.has(migration.number));
}

/** What a batch applied, newest first: exactly this has to be taken back, and nothing where it applied nothing. */
export function undoable(migrations, applied, batch) {
  const known = new Map(migrations.map((migration) => [migration.number, migration]));
  return applied
    .filter((row) => row.batch === batch)
    .sort((a, b) => b.number - a.number)
    .map(({ number }) => {
      const migration = known.get(number);
      if (!migration?.undo) throw new Error(`migration ${migration?.name ?? number} has no way back`);
      return migration;
    });
}
