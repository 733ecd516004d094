import pg from "pg";

const COLUMNS = "id::int, title, done, created_at, completed_at";

/** The list in PostgreSQL. Queries give up after 5 s, so a hanging database shows as an error and not as a hanging page. */
export class Todos {
  constructor(connectionString, onError) {
    this.pool = new pg.Pool({ connectionString, max: 10, connectionTimeoutMillis: 2000, statement_timeout: 5000 });
    // A connection that breaks while idle (the database restarted) is replaced by the pool at the next query.
    this.pool.on("error", onError);
  }

  async all() {
    const { rows } = await this.pool.query(`SELECT ${COLUMNS} FROM todos ORDER BY done, id DESC LIMIT 200`);
    return rows;
  }

  async add(title) {
    const { rows } = await this.pool.query(`INSERT INTO todos (title) VALUES ($1) RETURNING ${COLUMNS}`, [title]);
    return rows[0];
  }

  /** Change what is given of `title` and `done`; undefined when there is no such entry. */
  async change(id, { title, done }) {
    const { rows } = await this.pool.query(
      `UPDATE todos SET title = coalesce($2, title), done = coalesce($3, done),
         completed_at = CASE WHEN coalesce($3, done) THEN coalesce(completed_at, now()) END
       WHERE id = $1 RETURNING ${COLUMNS}`,
      [id, title ?? null, done ?? null],
    );
    return rows[0];
  }

  async remove(id) {
    const { rowCount } = await this.pool.query("DELETE FROM todos WHERE id = $1", [id]);
    return rowCount === 1;
  }

  /** Fails unless the database answers and has this application's table. */
  async check() {
    await this.pool.query("SELECT FROM todos LIMIT 1");
  }

  async close() {
    await this.pool.end();
  }
}
