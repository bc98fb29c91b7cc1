-- owner: manifest-planner. Pipelines, their builds, and why there is a build or none.

CREATE TABLE pipelines (
    source TEXT NOT NULL,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    last_counter BIGINT NOT NULL DEFAULT 0,
    last_build_id TEXT,
    inserted_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (source, owner, name)
);

CREATE TABLE builds (
    id TEXT PRIMARY KEY,
    source TEXT NOT NULL,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    branch TEXT NOT NULL,
    revision TEXT NOT NULL,
    counter BIGINT NOT NULL,
    version TEXT NOT NULL,
    status TEXT NOT NULL,
    outcome TEXT,
    reason TEXT NOT NULL DEFAULT '',
    attempt BIGINT NOT NULL DEFAULT 0,
    labels JSONB NOT NULL,
    manifest TEXT NOT NULL,
    commits JSONB NOT NULL,
    trigger_events JSONB NOT NULL,
    installation BIGINT,
    inserted_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    dispatched_at TIMESTAMPTZ,
    started_at TIMESTAMPTZ,
    heartbeat_at TIMESTAMPTZ,
    finished_at TIMESTAMPTZ,
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    UNIQUE (source, owner, name, counter)
);

CREATE INDEX builds_by_pipeline ON builds (source, owner, name, inserted_at DESC);
CREATE INDEX builds_by_status ON builds (status, inserted_at);

CREATE TABLE decisions (
    id TEXT PRIMARY KEY,
    cause_id TEXT NOT NULL,
    subject_kind TEXT NOT NULL,
    decision TEXT NOT NULL,
    reason TEXT NOT NULL,
    source TEXT NOT NULL,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    ref TEXT NOT NULL,
    revision TEXT NOT NULL,
    job_kind TEXT,
    job_id TEXT,
    decided_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE INDEX decisions_by_revision ON decisions (source, owner, name, revision);
CREATE INDEX decisions_by_cause ON decisions (cause_id);
