import { createServer } from "node:http";
import { application } from "./app.js";
import { log } from "./log.js";
import { Todos } from "./todos.js";
import { VERSION } from "./version.js";

// The load balancer may still hold idle connections to a container that it no longer chooses.
const LINGER_MS = 500;

const todos = new Todos(process.env.DATABASE_URL, (error) => log("warning", "a database connection broke", { reason: error.message }));
const handle = application({ todos, version: VERSION, heading: process.env.HEADING ?? "Things to do", log });

let stopping = false;
const server = createServer((request, response) => {
  if (stopping) response.setHeader("connection", "close");
  return handle(request, response);
});
// Longer than load balancers keep idle connections (Traefik: 90 s), so that it is never this side which closes one in use.
server.keepAliveTimeout = 120_000;

/** Serve what is under way and what still arrives, then end. A second signal ends at once. */
function stop(signal) {
  if (stopping) process.exit(1);
  stopping = true;
  log("info", "stopping", { signal });
  setTimeout(() => {
    server.close(async () => {
      await todos.close();
      log("info", "stopped");
    });
    server.closeIdleConnections();
  }, LINGER_MS);
}

process.on("SIGTERM", stop);
process.on("SIGINT", stop);
server.listen(Number(process.env.PORT ?? 3000), () => log("info", "listening", { port: server.address().port, version: VERSION }));
