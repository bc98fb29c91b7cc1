"""Prometheus metrics of webhook-ingress."""

from prometheus_client import Counter, Histogram

ANSWERED = Counter("estafette_webhooks_total", "Webhooks answered.", ["forge", "status"])
SECONDS = Histogram("estafette_webhook_seconds", "Time from a webhook's headers to its answer.", ["forge"])
