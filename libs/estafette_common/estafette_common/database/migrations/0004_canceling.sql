-- owner: manifest-planner. What builds wait for before they are requested, and since when they are to end.
-- A build without a group waits for nothing, as one that a planner of an older version stores.

ALTER TABLE builds ADD COLUMN concurrency_group TEXT NOT NULL DEFAULT '';
ALTER TABLE builds ADD COLUMN concurrency_policy TEXT NOT NULL DEFAULT '';
ALTER TABLE builds ADD COLUMN admitted_at TIMESTAMPTZ;
ALTER TABLE builds ADD COLUMN requested_at TIMESTAMPTZ;
ALTER TABLE builds ADD COLUMN waits_for TEXT NOT NULL DEFAULT '';
ALTER TABLE builds ADD COLUMN canceling_at TIMESTAMPTZ;
