"""The bus: subjects, messages, publishing and consuming on NATS JetStream."""
