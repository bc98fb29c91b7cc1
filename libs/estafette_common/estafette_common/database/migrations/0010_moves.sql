-- owner: manifest-planner. Whether the forge archived a repository, where it moved to, and the decisions about a job.
-- `moved_to` (source/owner/name) is where everything of the pipeline is now; `placed_at` is the time of the newest
-- event that moved it here or away, so that older ones that come late change nothing.

ALTER TABLE pipelines ADD COLUMN archived BOOL NOT NULL DEFAULT false;
ALTER TABLE pipelines ADD COLUMN archived_at TIMESTAMPTZ;
ALTER TABLE pipelines ADD COLUMN moved_to TEXT NOT NULL DEFAULT '';
ALTER TABLE pipelines ADD COLUMN placed_at TIMESTAMPTZ;

CREATE INDEX decisions_by_job ON decisions (job_id);
