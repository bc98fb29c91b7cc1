-- owner: notifier. Which commit status was told to a forge, so that each is told once and in order.

CREATE TABLE commit_statuses (
    job_id TEXT NOT NULL,
    state TEXT NOT NULL,
    tries BIGINT NOT NULL DEFAULT 0,
    delivered_at TIMESTAMPTZ,
    PRIMARY KEY (job_id, state)
);
