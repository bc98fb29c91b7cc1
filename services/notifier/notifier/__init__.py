"""Takes changes of builds; tells forges; owns the delivery ledger."""
