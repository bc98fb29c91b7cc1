"""Hiding secrets in everything that leaves the builder. Pure."""

import base64
import re
from collections.abc import Iterable
from urllib.parse import quote

from estafette_common.jobs.plan import Plan
from estafette_common.manifest import secrets

MASK = "***"

SHORTEST = 4
"""Characters; anything shorter is too common to hide."""


class Masker:
    """Replaces secrets by `***`: as they are, line by line, in base64 and URL-encoded; the longest first."""

    def __init__(self, values: Iterable[str]) -> None:
        forms = {form for value in values for form in _forms(value)}
        ordered = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def __call__(self, text: str) -> str:
        """Return the text without secrets."""
        return self._pattern.sub(MASK, text) if self._pattern else text


def secrets_of(plan: Plan, key: bytes) -> list[str]:
    """Return the value of every secret in a plan; SecretError when one cannot be opened."""
    texts = [plan.clone_token, *plan.env.values()]
    for stage in plan.stages:
        texts += [stage.image, stage.work_dir, *stage.commands, *stage.env.values()]
    pipeline = plan.repository.pipeline
    return [value for text in texts for value in secrets.plain_values(text, key=key, pipeline=pipeline)]


def _forms(value: str) -> set[str]:
    found = set()
    for part in {value, *value.splitlines(), *value.split("\\n")}:
        plain = part.strip()
        if len(plain) >= SHORTEST:
            encoded = base64.b64encode(part.encode()).decode()
            found |= {plain, encoded, encoded.replace("+", "-").replace("/", "_"), quote(plain, safe="")}
    return found
