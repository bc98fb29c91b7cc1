-- owner: log-sink. Compressed chunks as they were published; a row made by compaction covers number..last_number.

CREATE TABLE log_chunks (
    job_id TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    number BIGINT NOT NULL,
    last_number BIGINT NOT NULL,
    kind TEXT NOT NULL,
    first_entry BIGINT NOT NULL,
    entry_count BIGINT NOT NULL,
    ends BOOL NOT NULL,
    body BYTEA NOT NULL,
    stored_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, attempt, number)
);
