"""Prometheus metrics that services share. Labels are bounded: never a subject, never an id.

What is read from NATS or the database is the same in each replica: take the maximum over replicas, never the sum.
"""

from prometheus_client import Counter, Gauge, Histogram

AGES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 3600.0)
"""Seconds. Most messages are handled within a few milliseconds, some only when what was away is back."""

HANDLED = Counter("estafette_messages_total", "Messages taken, by how they were settled.", ["consumer", "settled"])
HANDLING_SECONDS = Histogram(
    "estafette_message_handling_seconds", "Time from taking a message to settling it.", ["consumer"]
)
REDELIVERED = Counter(
    "estafette_messages_redelivered_total", "Messages taken that had been taken before.", ["consumer"]
)
AGE_SECONDS = Histogram(
    "estafette_message_age_seconds", "Time from storing a message to acknowledging it.", ["consumer"], buckets=AGES
)

LAG = Gauge("estafette_consumer_lag", "Messages that a consumer has not acknowledged, taken or not.", ["consumer"])
IN_HAND = Gauge("estafette_consumer_in_hand", "Messages taken and not acknowledged, also between tries.", ["consumer"])
ACK_AGE = Gauge(
    "estafette_consumer_ack_age_seconds",
    "Age of the oldest message that a consumer has not acknowledged.",
    ["consumer"],
)
STREAM_MESSAGES = Gauge("estafette_stream_messages", "Messages that a stream keeps.", ["stream"])
STREAM_BYTES = Gauge("estafette_stream_bytes", "Bytes that a stream keeps.", ["stream"])
DEAD_LETTERS = Gauge("estafette_dead_letters", "Messages that could not be handled and wait for a decision.")
LOOKED = Gauge("estafette_bus_looked_timestamp_seconds", "When NATS last told of streams and consumers, in Unix time.")

REQUESTS = Counter("estafette_http_requests_total", "HTTP requests answered.", ["method", "route", "status"])
REQUEST_SECONDS = Histogram(
    "estafette_http_request_seconds", "Time from a request to the end of its answer.", ["method", "route"]
)
