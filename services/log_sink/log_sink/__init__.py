"""Takes log chunks; owns the stored logs."""
