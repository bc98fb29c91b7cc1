-- owner: manifest-planner. The most that a job took: bytes of memory, cores of CPU; none where it was not measured. And
-- whether something of it was ended for want of memory.

ALTER TABLE builds ADD COLUMN most_memory BIGINT;
ALTER TABLE builds ADD COLUMN most_cpu DOUBLE PRECISION;
ALTER TABLE builds ADD COLUMN out_of_memory BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE releases ADD COLUMN most_memory BIGINT;
ALTER TABLE releases ADD COLUMN most_cpu DOUBLE PRECISION;
ALTER TABLE releases ADD COLUMN out_of_memory BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE bots ADD COLUMN most_memory BIGINT;
ALTER TABLE bots ADD COLUMN most_cpu DOUBLE PRECISION;
ALTER TABLE bots ADD COLUMN out_of_memory BOOLEAN NOT NULL DEFAULT FALSE;
