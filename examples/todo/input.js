export class BadInput extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const BODY_LIMIT = 16 * 1024;
const TITLE_LIMIT = 200;

/** The whole body as text; more than 16 KB is refused. */
export async function readBody(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > BODY_LIMIT) throw new BadInput(413, `A body may have ${BODY_LIMIT} bytes.`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

export function readTitle(value) {
  // PostgreSQL's text cannot hold the NUL character.
  const title = typeof value === "string" ? value.replaceAll("\0", "").trim() : "";
  if (!title) throw new BadInput(422, "title must be a text that is not empty.");
  if ([...title].length > TITLE_LIMIT) throw new BadInput(422, `title may have ${TITLE_LIMIT} characters.`);
  return title;
}

/** What a PATCH asks to change: at least one of title and done. */
export function readChange(body) {
  const change = {};
  if (body.title !== undefined) change.title = readTitle(body.title);
  if (body.done !== undefined) {
    if (typeof body.done !== "boolean") throw new BadInput(422, "done must be true or false.");
    change.done = body.done;
  }
  if (!Object.keys(change).length) throw new BadInput(422, "Give title or done.");
  return change;
}

export function readJson(text) {
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    throw new BadInput(400, "The body is not JSON.");
  }
  if (body === null || typeof body !== "object" || Array.isArray(body)) throw new BadInput(400, "The body is not a JSON object.");
  return body;
}
