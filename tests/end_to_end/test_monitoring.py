"""What the dashboard and the alerts ask for is what the services tell."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from estafette_local.environment import SERVICES
from estafette_local.people import Delivery, GitRepository, Person
from estafette_local.stack import Stack
from estafette_local.waiting import eventually
from prometheus_client.parser import text_string_to_metric_families

MONITORING = Path(__file__).parents[2] / "deploy" / "monitoring"
OPERATING = Path(__file__).parents[2] / "docs" / "operating.md"

MANIFEST = "stages: {greet: {image: 'busybox:latest', commands: [echo hello]}}"

GIVEN_BY_PROMETHEUS = {"up", "job", "instance", "le"}

Told = dict[str, set[str]]
"""Labels by the name of a sample."""


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((MONITORING / "rules.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> dict[str, str]:
    """Return every query, by the title of its panel or the name of its alert."""
    panels = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
    shown = {
        f"{panel['title']} {target['refId']}": target["expr"] for panel in panels for target in panel.get("targets", [])
    }
    return shown | {rule["alert"]: rule["expr"] for rule in rules()}


def metrics_of(expression: str) -> set[str]:
    return set(re.findall(r"\b(?:estafette|process)_\w+", re.sub(r'"[^"]*"', "", expression)))


def labels_of(expression: str) -> set[str]:
    """Return the labels that an expression selects or groups by."""
    selected = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", expression)
    grouped = [name for group in re.findall(r"by \(([^)]*)\)", expression) for name in re.split(r"\s*,\s*", group)]
    return {*selected, *grouped} - GIVEN_BY_PROMETHEUS


async def scrape(http: aiohttp.ClientSession, stack: Stack, service: str) -> Told:
    async with http.get(f"{stack.url(service)}/metrics") as response:
        text = await response.text()
    found: Told = {}
    for family in text_string_to_metric_families(text):
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
        for suffix in suffixes:
            found[family.name + suffix] = set()
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.fixture
async def told(
    stack: Stack,
    http: aiohttp.ClientSession,
    person: Person,
    repository: GitRepository,
    push: Callable[[dict[str, str]], tuple[str, Delivery]],
) -> dict[str, Told]:
    """What each service tells once something was built."""
    _, delivery = push({".estafette.yaml": MANIFEST})
    await person.deliver(delivery)

    async def succeeded() -> bool:
        [build] = await person.builds(repository)
        return bool(build["buildStatus"] == "succeeded")

    await eventually(succeeded, within=60)

    async def all_looked() -> dict[str, Told]:
        found = {service: await scrape(http, stack, service) for service in SERVICES}
        assert found["manifest-planner"]["estafette_consumer_lag"] == {"consumer"}
        assert found["manifest-planner"]["estafette_ended_jobs_of_last_day"] == {"kind", "outcome"}
        return found

    return await eventually(all_looked, within=40)


async def test_every_metric_of_a_panel_or_an_alert_is_told_with_its_labels(told: dict[str, Told]) -> None:
    everything: Told = {}
    for service in told.values():
        for name, labels in service.items():
            everything.setdefault(name, set()).update(labels)

    for title, expression in expressions().items():
        names = metrics_of(expression)
        assert names or "up{" in expression, title
        assert names <= everything.keys(), title
        known = {label for name in names for label in everything[name]}
        if known:  # what did not happen yet has no labels
            assert labels_of(expression) <= known, title


async def test_every_service_tells_of_itself(told: dict[str, Told]) -> None:
    for service, metrics in told.items():
        assert "process_resident_memory_bytes" in metrics, service
        assert any(name.startswith("estafette_") for name in metrics), service


def test_every_alert_is_explained() -> None:
    explained = OPERATING.read_text()

    for rule in rules():
        assert f"| `{rule['alert']}` |" in explained
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert set(rule["annotations"]) == {"summary", "description"}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_takes_the_alerts_and_the_queries_of_the_panels(tmp_path: Path) -> None:
    queries = [
        {"record": f"query:{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, expression in enumerate(expressions().values())
    ]
    (tmp_path / "queries.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": queries}]}))

    checked = subprocess.run(
        ["promtool", "check", "rules", str(MONITORING / "rules.yaml"), str(tmp_path / "queries.yaml")],
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr
