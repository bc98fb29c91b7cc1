-- owner: manifest-planner. Where a job ran (`local`, `kubernetes`; empty: nowhere yet), and the build whose workspace a
-- rebuild goes on in.

ALTER TABLE builds ADD COLUMN runtime TEXT NOT NULL DEFAULT '';
ALTER TABLE builds ADD COLUMN resumes TEXT NOT NULL DEFAULT '';
ALTER TABLE releases ADD COLUMN runtime TEXT NOT NULL DEFAULT '';
ALTER TABLE bots ADD COLUMN runtime TEXT NOT NULL DEFAULT '';
