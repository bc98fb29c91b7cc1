-- owner: manifest-planner. The clock of a schedule, so that a minute asks for few slots: its time zone, or the length of
-- an interval. One without has no slots yet; the next minute files it.
-- schedules.filed, schedules_unfiled and schedule_timezones are the version before's; they go with a later one.

ALTER TABLE schedules ADD COLUMN clock TEXT;

CREATE INDEX schedules_without_clock ON schedules (key) WHERE clock IS NULL;

CREATE TABLE schedule_clocks (
    clock TEXT PRIMARY KEY
);
