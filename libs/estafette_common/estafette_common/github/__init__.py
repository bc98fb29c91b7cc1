"""GitHub: files, commit statuses, and the tokens of an App's installations."""
