-- owner: manifest-planner. Schedules by the times that they name, so that a minute touches only those that may be due.
-- One that is not filed yet has no slots; the next minute files it.

ALTER TABLE schedules ADD COLUMN filed BOOL NOT NULL DEFAULT false;

CREATE TABLE schedule_slots (
    slot TEXT NOT NULL,
    key TEXT NOT NULL,
    PRIMARY KEY (slot, key)
);

CREATE TABLE schedule_timezones (
    timezone TEXT PRIMARY KEY
);
