-- owner: manifest-planner. Releases and bots, what is live where, and what of a manifest concerns them.

ALTER TABLE builds ADD COLUMN release_targets JSONB NOT NULL DEFAULT '[]';
ALTER TABLE builds ADD COLUMN triggers JSONB NOT NULL DEFAULT '[]';
ALTER TABLE builds ADD COLUMN hops BIGINT NOT NULL DEFAULT 0;

CREATE INDEX builds_by_version ON builds (source, owner, name, version);
CREATE INDEX builds_by_branch ON builds (source, owner, name, branch, counter DESC);

CREATE TABLE releases (
    id TEXT PRIMARY KEY,
    source TEXT NOT NULL,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    target TEXT NOT NULL,
    action TEXT NOT NULL,
    version TEXT NOT NULL,
    build_id TEXT NOT NULL,
    status TEXT NOT NULL,
    outcome TEXT,
    reason TEXT NOT NULL DEFAULT '',
    attempt BIGINT NOT NULL DEFAULT 0,
    trigger_events JSONB NOT NULL,
    hops BIGINT NOT NULL,
    inserted_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    concurrency_group TEXT NOT NULL DEFAULT '',
    concurrency_policy TEXT NOT NULL DEFAULT '',
    admitted_at TIMESTAMPTZ,
    requested_at TIMESTAMPTZ,
    waits_for TEXT NOT NULL DEFAULT '',
    dispatched_at TIMESTAMPTZ,
    started_at TIMESTAMPTZ,
    heartbeat_at TIMESTAMPTZ,
    canceling_at TIMESTAMPTZ,
    finished_at TIMESTAMPTZ,
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE INDEX releases_by_pipeline ON releases (source, owner, name, inserted_at DESC);
CREATE INDEX releases_by_target ON releases (source, owner, name, target, inserted_at DESC);
CREATE INDEX releases_by_status ON releases (status, inserted_at);

CREATE TABLE bots (
    id TEXT PRIMARY KEY,
    source TEXT NOT NULL,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    bot TEXT NOT NULL,
    build_id TEXT NOT NULL,
    status TEXT NOT NULL,
    outcome TEXT,
    reason TEXT NOT NULL DEFAULT '',
    attempt BIGINT NOT NULL DEFAULT 0,
    trigger_events JSONB NOT NULL,
    hops BIGINT NOT NULL,
    inserted_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    concurrency_group TEXT NOT NULL DEFAULT '',
    concurrency_policy TEXT NOT NULL DEFAULT '',
    admitted_at TIMESTAMPTZ,
    requested_at TIMESTAMPTZ,
    waits_for TEXT NOT NULL DEFAULT '',
    dispatched_at TIMESTAMPTZ,
    started_at TIMESTAMPTZ,
    heartbeat_at TIMESTAMPTZ,
    canceling_at TIMESTAMPTZ,
    finished_at TIMESTAMPTZ,
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE INDEX bots_by_pipeline ON bots (source, owner, name, inserted_at DESC);
CREATE INDEX bots_by_status ON bots (status, inserted_at);

CREATE TABLE release_targets (
    source TEXT NOT NULL,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    target TEXT NOT NULL,
    action TEXT NOT NULL,
    release_id TEXT NOT NULL,
    version TEXT NOT NULL,
    released_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (source, owner, name, target, action)
);
