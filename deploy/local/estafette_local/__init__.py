"""The whole system on one machine, on loopback."""
