-- owner: manifest-planner. Rows to lock while it is decided which builds may begin, and the builds that count for that.

CREATE TABLE concurrency_locks (
    name TEXT PRIMARY KEY
);

CREATE INDEX builds_by_group ON builds (concurrency_group, inserted_at)
    WHERE status IN ('pending', 'running', 'canceling');
