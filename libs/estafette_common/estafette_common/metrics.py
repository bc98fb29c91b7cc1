"""Prometheus metrics that every service has. Labels are bounded: never a subject, never an id."""

from prometheus_client import Counter, Histogram

HANDLED = Counter("estafette_messages_total", "Messages taken, by how they were settled.", ["consumer", "settled"])
HANDLING_SECONDS = Histogram(
    "estafette_message_handling_seconds", "Time from taking a message to settling it.", ["consumer"]
)
