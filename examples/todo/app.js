import { readFileSync } from "node:fs";
import { BadInput, readBody, readChange, readJson, readTitle } from "./input.js";
import { page } from "./page.js";

const STYLE = readFileSync(new URL("./public/style.css", import.meta.url));

function send(response, status, type, body) {
  response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(body) });
  response.end(body);
}

const json = (response, status, value) => send(response, status, "application/json; charset=utf-8", JSON.stringify(value));

/** An error as RFC 9457 has it. */
function problem(response, status, detail) {
  send(response, status, "application/problem+json", JSON.stringify({ type: "about:blank", status, detail }));
}

function redirect(response) {
  response.writeHead(303, { location: "/", "content-length": 0 });
  response.end();
}

function found(todo) {
  if (!todo) throw new BadInput(404, "There is no such entry.");
  return todo;
}

/** Method, pattern of the path, and what answers; `id` is the pattern's group. */
function routes({ todos, version, heading }) {
  return [
    ["GET", /^\/$/, async ({ response }) => send(response, 200, "text/html; charset=utf-8", page({ todos: await todos.all(), version, heading }))],
    ["GET", /^\/style\.css$/, ({ response }) => send(response, 200, "text/css; charset=utf-8", STYLE)],
    ["GET", /^\/healthz$/, async ({ response }) => {
      await todos.check();
      json(response, 200, { status: "ok", version });
    }],
    ["GET", /^\/api\/version$/, ({ response }) => json(response, 200, { version })],
    ["GET", /^\/api\/todos$/, async ({ response }) => json(response, 200, await todos.all())],
    ["POST", /^\/api\/todos$/, async ({ response, body }) => json(response, 201, await todos.add(readTitle(readJson(body).title)))],
    ["PATCH", /^\/api\/todos\/(\d{1,9})$/, async ({ response, body, id }) => json(response, 200, found(await todos.change(id, readChange(readJson(body)))))],
    ["DELETE", /^\/api\/todos\/(\d{1,9})$/, async ({ response, id }) => {
      found(await todos.remove(id));
      response.writeHead(204).end();
    }],
    ["POST", /^\/todos$/, async ({ response, body }) => {
      await todos.add(readTitle(new URLSearchParams(body).get("title")));
      redirect(response);
    }],
    ["POST", /^\/todos\/(\d{1,9})\/(complete|reopen)$/, async ({ response, id, verb }) => {
      found(await todos.change(id, { done: verb === "complete" }));
      redirect(response);
    }],
    ["POST", /^\/todos\/(\d{1,9})\/remove$/, async ({ response, id }) => {
      await todos.remove(id);
      redirect(response);
    }],
  ];
}

/** The request handler. `log(level, message, fields)` hears one line a request. */
export function application({ todos, version, heading, log }) {
  const table = routes({ todos, version, heading });
  return async (request, response) => {
    const started = performance.now();
    const path = request.url.split("?", 1)[0];
    response.setHeader("x-app-version", version);
    response.on("close", () => {
      // Health checks come twice a second and would drown the rest.
      if (path === "/healthz" && response.statusCode === 200) return;
      log("info", "request", { method: request.method, path, status: response.statusCode, ms: Math.round(performance.now() - started) });
    });
    try {
      await answer(table, path, request, response);
    } catch (error) {
      refuse(error, path, response, log);
    }
  };
}

async function answer(table, path, request, response) {
  const method = request.method === "HEAD" ? "GET" : request.method;
  const here = table.filter(([, pattern]) => pattern.test(path));
  const route = here.find(([allowed]) => allowed === method);
  if (!route) throw new BadInput(here.length ? 405 : 404, here.length ? `${request.method} is not for ${path}.` : "There is nothing here.");
  const [, id, verb] = route[1].exec(path);
  const body = ["POST", "PATCH"].includes(method) ? await readBody(request) : "";
  await route[2]({ response, body, id, verb });
}

function refuse(error, path, response, log) {
  if (error instanceof BadInput) return problem(response, error.status, error.message);
  log("error", error.message, { path, code: error.code });
  if (response.headersSent) return response.destroy();
  return problem(response, 503, "The database cannot be used at the moment.");
}
