-- owner: manifest-planner. Releases and runs of bots wait as builds do: those that count while it is decided which may
-- begin.

CREATE INDEX releases_by_group ON releases (concurrency_group, inserted_at)
    WHERE status IN ('pending', 'running', 'canceling');
CREATE INDEX bots_by_group ON bots (concurrency_group, inserted_at)
    WHERE status IN ('pending', 'running', 'canceling');
