import assert from "node:assert/strict";
import { test } from "node:test";
import { load, parse, pending, undoable } from "../migrations.js";

const MIGRATIONS = [parse("0001_a.sql", "CREATE a;\n-- undo\nDROP a;"), parse("0002_b.sql", "CREATE b;")];

test("a file has an apply half and an undo half", () => {
  assert.deepEqual(MIGRATIONS[0], { number: 1, name: "0001_a.sql", apply: "CREATE a;", undo: "DROP a;" });
  assert.equal(MIGRATIONS[1].undo, null);
  assert.throws(() => parse("0003_c.sql", "-- undo\nDROP c;"), /no statement/);
  assert.throws(() => parse("0003_c.sql", "A;\n-- undo\nB;\n-- undo\nC;"), /more than one/);
});

test("only what was not applied is pending", () => {
  assert.deepEqual(pending(MIGRATIONS, [{ number: 1, batch: "x" }]), [MIGRATIONS[1]]);
});

test("an undo takes back what its own batch applied, newest first", () => {
  const withUndo = [MIGRATIONS[0], { ...MIGRATIONS[1], undo: "DROP b;" }];
  const names = (rows, batch) => undoable(withUndo, rows, batch).map((migration) => migration.name);
  assert.deepEqual(names([{ number: 1, batch: "x" }, { number: 2, batch: "x" }], "x"), ["0002_b.sql", "0001_a.sql"]);
  assert.deepEqual(names([{ number: 1, batch: "w" }, { number: 2, batch: "x" }], "x"), ["0002_b.sql"]);
  assert.deepEqual(names([{ number: 1, batch: "w" }], "x"), []);
});

test("an undo of what has no way back says so", () => {
  assert.throws(() => undoable(MIGRATIONS, [{ number: 2, batch: "x" }], "x"), /0002_b\.sql has no way back/);
});

test("every migration of this application has a way back", () => {
  const all = load(new URL("../migrations/", import.meta.url));
  assert.deepEqual(all.map((migration) => migration.number), all.map((_, index) => index + 1));
  assert.ok(all.every((migration) => migration.undo));
});
