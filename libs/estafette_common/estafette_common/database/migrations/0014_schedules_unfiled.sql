-- owner: manifest-planner. Finds the schedules that are not filed, of which there are hardly ever any.

CREATE INDEX schedules_unfiled ON schedules (key) WHERE NOT filed;
