"""The database: a pool, transactions that survive serialization failures, and versioned migrations."""
