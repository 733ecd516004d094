const ENTITIES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

export function escape(text) {
  return String(text).replace(/[&<>"']/g, (character) => ENTITIES[character]);
}

function entry(todo) {
  const title = escape(todo.title);
  return `<li${todo.done ? ' class="done"' : ""}>
      <form method="post" action="/todos/${todo.id}/${todo.done ? "reopen" : "complete"}"><button class="tick" aria-label="${todo.done ? "Reopen" : "Complete"} ${title}">${todo.done ? "✓" : ""}</button></form>
      <span>${title}</span>
      <form method="post" action="/todos/${todo.id}/remove"><button class="remove" aria-label="Remove ${title}">×</button></form>
    </li>`;
}

/** The whole page. It works without scripts: every button is a form. */
export function page({ todos, version, heading }) {
  const open = todos.filter((todo) => !todo.done).length;
  return `<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>${escape(heading)}</title>
  <link rel="stylesheet" href="/style.css">
</head>
<body>
  <main>
    <header><h1>${escape(heading)}</h1><p>${open === 0 ? "All done." : `${open} to do`}</p></header>
    <form method="post" action="/todos" class="add">
      <input name="title" maxlength="200" required autofocus placeholder="What is to be done?" aria-label="New entry">
      <button>Add</button>
    </form>
    <ul>
    ${todos.map(entry).join("\n    ")}
    </ul>
    <footer>version ${escape(version)}</footer>
  </main>
</body>
</html>
`;
}
