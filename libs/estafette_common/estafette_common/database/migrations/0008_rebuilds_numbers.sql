-- owner: manifest-planner. In a step of its own, for CockroachDB fills no column in the transaction that adds it.

UPDATE builds SET counter = number_taken WHERE number_taken IS NOT NULL;
DROP INDEX builds_by_branch;
CREATE INDEX builds_by_branch ON builds (source, owner, name, branch, counter DESC);
