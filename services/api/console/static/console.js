// The deployment page, live: the server draws the pipeline anew, lines are appended. Text is never read as HTML.
"use strict";

const MOST_LINES = 2000;
const deployment = document.getElementById("deployment");
const pipeline = document.getElementById("pipeline");
const log = document.getElementById("log");
const id = deployment.dataset.id;

let drawing = false;
let again = false;

async function draw() {
  if (drawing) { again = true; return; }
  drawing = true;
  const response = await fetch(`/deployments/${id}/pipeline`, { credentials: "same-origin" });
  if (response.ok) pipeline.innerHTML = await response.text();
  drawing = false;
  if (again) { again = false; setTimeout(draw, 250); }
}

function append(line) {
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  const step = document.createElement("span");
  step.className = "step";
  step.textContent = line.step;
  log.append(step, ` ${line.text}\n`);
  while (log.childNodes.length > 2 * MOST_LINES) log.firstChild.remove();
  if (atEnd) log.scrollTop = log.scrollHeight;
}

log.scrollTop = log.scrollHeight;
if (deployment.dataset.live === "yes") {
  let seen = Number(deployment.dataset.line);
  const stream = new EventSource(`/api/v1/deployments/${id}/stream`);
  stream.addEventListener("event", draw);
  stream.addEventListener("log", (message) => {
    const position = Number(message.lastEventId.split("-")[1]);
    if (position <= seen) return;
    seen = position;
    append(JSON.parse(message.data));
  });
  stream.addEventListener("end", () => { stream.close(); draw(); });
  const clock = setInterval(() => stream.readyState === EventSource.CLOSED ? clearInterval(clock) : draw(), 2000);
}
