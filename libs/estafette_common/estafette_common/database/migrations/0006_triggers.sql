-- owner: manifest-planner. The triggers of each pipeline by what an event can name, so that it touches only those.

ALTER TABLE pipelines ADD COLUMN triggers_digest TEXT NOT NULL DEFAULT '';

CREATE TABLE triggers (
    source TEXT NOT NULL,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    written JSONB NOT NULL,
    PRIMARY KEY (source, owner, name, digest, key)
);

CREATE INDEX triggers_by_key ON triggers (kind, key);

CREATE TABLE schedules (
    key TEXT PRIMARY KEY,
    schedule TEXT NOT NULL,
    timezone TEXT NOT NULL
);

CREATE TABLE watched_tags (
    source TEXT NOT NULL,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    tag TEXT NOT NULL,
    image_digest TEXT NOT NULL,
    seen_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (source, owner, name, digest)
);
