"""What happened to the rows of canvas' state in PostgreSQL, in order: enough to explain a task that ran twice."""

from sqlalchemy import create_engine, text

_TABLES = ("leases", "messages", "outbox", "workers")
_MADE = """
CREATE TABLE history (
    number bigserial PRIMARY KEY, at double precision, backend int, transaction bigint, what text, relation text, row text
);
CREATE FUNCTION note_change() RETURNS trigger AS $$
BEGIN
    INSERT INTO history (at, backend, transaction, what, relation, row)
    SELECT extract(epoch FROM clock_timestamp()), pg_backend_pid(), txid_current(), TG_OP, TG_TABLE_NAME,
           (to_jsonb(CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END) - 'payload')::text || ' ' ||
           coalesce(encode((to_jsonb(CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END) ->> 'payload')::bytea, 'escape'), '');
    RETURN NULL;
END $$ LANGUAGE plpgsql;
"""


class History:
    """Notes each change of leases, marks of messages, outboxes and workers in a database whose tables exist."""

    def __init__(self, database):
        """``database``: its URL, as a result backend's."""
        self._engine = create_engine(database[3:])
        with self._engine.begin() as connection:
            connection.exec_driver_sql(_MADE)
            for table in _TABLES:
                connection.exec_driver_sql(
                    f"CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON canvas_{table} "
                    "FOR EACH ROW EXECUTE FUNCTION note_change()"
                )

    def of(self, *words, length=400):
        """The changes of rows in which one of these words occurs, one a line."""
        found = text("SELECT * FROM history WHERE row LIKE ANY(:patterns) ORDER BY number")
        with self._engine.connect() as connection:
            rows = connection.execute(found, {"patterns": [f"%{word}%" for word in words]}).all()
        return [
            f"{row.at:.3f} backend {row.backend} transaction {row.transaction}: {row.what} {row.relation} {row.row:.{length}}"
            for row in rows
        ]

    def close(self):
        """Close its connections."""
        self._engine.dispose()
