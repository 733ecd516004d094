// Reads Slipway's events from NATS with the plain client: node read.mjs. What the environment holds is what `slipway subscribers add` said.
import { connect } from "@nats-io/transport-node";
import { jetstream } from "@nats-io/jetstream";

const { NATS_URL, NATS_USER, NATS_PASSWORD, NATS_INBOX_PREFIX, NATS_STREAM, NATS_CONSUMER } = process.env;

const client = await connect({
  servers: NATS_URL,
  user: NATS_USER,
  pass: NATS_PASSWORD,
  inboxPrefix: NATS_INBOX_PREFIX, // the only place where this user may hear answers
  maxReconnectAttempts: -1,
});
const consumer = await jetstream(client).consumers.get(NATS_STREAM, NATS_CONSUMER);
for await (const message of await consumer.consume()) {
  handle(message);
  message.ack(); // only now is it done: a crash before this brings it again
}

// At least once: the same event may come twice, under the same ce-id.
function handle(message) {
  const { headers, subject } = message;
  console.log(JSON.stringify({ id: headers.get("ce-id"), type: headers.get("ce-type"), subject }));
}
