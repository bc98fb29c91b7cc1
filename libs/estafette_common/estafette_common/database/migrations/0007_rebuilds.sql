-- owner: manifest-planner. A rebuild has the number of the build it repeats; only the first build takes it. What kept
-- numbers unique stays on the column that was `counter`, for a constraint cannot be dropped alike by both databases.

ALTER TABLE builds RENAME COLUMN counter TO number_taken;
ALTER TABLE builds ALTER COLUMN number_taken DROP NOT NULL;
ALTER TABLE builds ADD COLUMN counter BIGINT NOT NULL DEFAULT 0;
ALTER TABLE builds ADD COLUMN rebuild_of TEXT;
