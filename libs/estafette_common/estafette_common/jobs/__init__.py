"""What a job is: its plan, its life, and the runtimes that carry it."""
