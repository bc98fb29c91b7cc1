"""Every message of the system, by stream: `events`, `commands`, `jobs`, `logs`."""
