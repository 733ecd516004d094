import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, beforeEach, test } from "node:test";
import { application } from "../app.js";

/** The list in memory, with the methods of Todos. */
class Kept {
  rows = [];
  broken = false;
  async all() { return this.rows; }
  async add(title) {
    const todo = { id: this.rows.length + 1, title, done: false };
    this.rows.push(todo);
    return todo;
  }
  async change(id, change) {
    const todo = this.rows.find((row) => row.id === Number(id));
    return todo && Object.assign(todo, change);
  }
  async remove(id) {
    const before = this.rows.length;
    this.rows = this.rows.filter((row) => row.id !== Number(id));
    return this.rows.length < before;
  }
  async check() { if (this.broken) throw new Error("connection refused"); }
}

let todos;
let server;
let base;
const lines = [];

before(async () => {
  server = createServer((request, response) =>
    application({ todos, version: "7", heading: "A & B", log: (level, message) => lines.push(message) })(request, response));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  base = `http://127.0.0.1:${server.address().port}`;
});
beforeEach(() => { todos = new Kept(); });
after(() => server.close());

const send = (method, path, body) => fetch(base + path, { method, body: body && JSON.stringify(body), redirect: "manual" });

test("an entry is added, changed and removed over the JSON API", async () => {
  const added = await send("POST", "/api/todos", { title: "  Buy milk 🥛 " });
  assert.equal(added.status, 201);
  assert.equal((await added.json()).title, "Buy milk 🥛");
  assert.equal((await (await send("PATCH", "/api/todos/1", { done: true })).json()).done, true);
  assert.equal((await send("DELETE", "/api/todos/1")).status, 204);
  assert.deepEqual(await (await send("GET", "/api/todos")).json(), []);
});

test("wrong input is refused with what is wrong", async () => {
  const status = async (...request) => (await send(...request)).status;
  assert.equal(await status("POST", "/api/todos", { title: " " }), 422);
  assert.equal(await status("POST", "/api/todos", [1]), 400);
  assert.equal(await status("POST", "/api/todos", { title: "x".repeat(20_000) }), 413);
  assert.equal(await status("PATCH", "/api/todos/1", { done: "yes" }), 422);
  assert.equal(await status("PATCH", "/api/todos/1", { done: true }), 404);
  assert.equal(await status("PUT", "/api/todos/1"), 405);
  assert.equal(await status("GET", "/nowhere"), 404);
  const answer = await fetch(`${base}/api/todos`, { method: "POST", body: "{" });
  assert.equal(answer.headers.get("content-type"), "application/problem+json");
});

test("the page shows entries, heading and version, escaped", async () => {
  await todos.add("<script>alert(1)</script>");
  const text = await (await send("GET", "/")).text();
  assert.match(text, /&lt;script&gt;/);
  assert.doesNotMatch(text, /<script>/);
  assert.match(text, /A &amp; B/);
  assert.match(text, /version 7/);
});

test("the page's forms change the list and lead back to it", async () => {
  const added = await fetch(`${base}/todos`, { method: "POST", body: new URLSearchParams({ title: "Tea" }), redirect: "manual" });
  assert.equal(added.status, 303);
  assert.equal((await send("POST", "/todos/1/complete")).status, 303);
  assert.equal(todos.rows[0].done, true);
});

test("the health check fails while the database does, and every answer names the version", async () => {
  assert.equal((await send("GET", "/healthz")).headers.get("x-app-version"), "7");
  todos.broken = true;
  assert.equal((await send("GET", "/healthz")).status, 503);
});
