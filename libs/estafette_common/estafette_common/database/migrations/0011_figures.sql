-- owner: manifest-planner. What is typical of a pipeline, and who works on it. Medians are of the last builds that
-- succeeded, in microseconds; people are `[{"email": …, "at": …}]`, the latest first.

ALTER TABLE pipelines ADD COLUMN median_pending BIGINT;
ALTER TABLE pipelines ADD COLUMN median_duration BIGINT;
ALTER TABLE pipelines ADD COLUMN recent_committers JSONB NOT NULL DEFAULT '[]';
ALTER TABLE pipelines ADD COLUMN recent_releasers JSONB NOT NULL DEFAULT '[]';
