"""Takes webhooks of forges; gives verified events; owns nothing."""
