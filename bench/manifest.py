"""What it costs to read a manifest, beside what PyYAML's C loader takes to build plain dicts of the same text.

`make bench-manifest`. The small manifest is a typical one; the large one has 40 stages. `check` is everything: parse,
defaults, validation, advice. `kept` is the same text again, which is remembered.
"""

import statistics
import sys
from collections.abc import Callable
from time import perf_counter

import yaml
from estafette_common.manifest import reading
from estafette_common.manifest.preferences import DEFAULT

TARGET = 1.2
KEPT_TARGET = 50.0

SMALL = """\
builder:
  track: stable
labels:
  app: shop
  team: sales
version:
  semver:
    major: 1
    minor: 4
stages:
  build:
    image: golang:1.22-alpine
    commands:
    - go test ./...
    - go build -o ./publish/shop .
  bake:
    image: extensions/docker:stable
    action: build
    repositories:
    - acme
    path: ./publish
  push:
    image: extensions/docker:stable
    action: push
    repositories:
    - acme
    when:
      status == 'succeeded' && branch == 'main'
releases:
  production:
    clone: true
    stages:
      deploy:
        image: extensions/gke:stable
        visibility: private
"""


def large() -> str:
    """Return a manifest of 40 stages, about 13 KB."""
    stages = [
        f"""\
  stage-{number}:
    image: golang:1.22-alpine
    workDir: /go/src/github.com/acme/shop-{number}
    env:
      CGO_ENABLED: 0
      GOOS: linux
      PART: part-{number}
    commands:
    - go test -short ./part-{number}/...
    - go build -ldflags "-X main.version=${{ESTAFETTE_BUILD_VERSION}}" -o ./publish/part-{number} ./part-{number}
    when:
      status == 'succeeded' && branch != 'drafts'
"""
        for number in range(40)
    ]
    return "labels:\n  app: shop\n  team: sales\nstages:\n" + "".join(stages)


def median_of(action: Callable[[], object], *, seconds: float = 1.0) -> float:
    """Return the median of its duration in µs."""
    action()
    durations = []
    until = perf_counter() + seconds
    while perf_counter() < until:
        began = perf_counter()
        action()
        durations.append(perf_counter() - began)
    return statistics.median(durations) * 1e6


def main() -> None:
    """Print the table, and end with 1 when a target is missed."""
    missed = False
    print("| manifest | bytes | CSafeLoader µs | check µs | x bare | kept µs |")
    print("|---|---|---|---|---|---|")
    for name, text in {"small": SMALL, "40 stages": large()}.items():
        # In turns, so that a busy machine hits both alike; the median of the ratios.
        rounds = [
            (
                median_of(lambda: yaml.load(text, Loader=yaml.CSafeLoader)),  # noqa: B023  called at once
                median_of(lambda: reading.check_anew(text, DEFAULT)),  # noqa: B023  called at once
            )
            for _ in range(5)
        ]
        bare, whole = (statistics.median(column) for column in zip(*rounds, strict=True))
        ratio = statistics.median(ours / theirs for theirs, ours in rounds)
        kept = median_of(lambda: reading.check(text))  # noqa: B023  called at once
        print(f"| {name} | {len(text):,} | {bare:,.0f} | {whole:,.0f} | {ratio:.2f} | {kept:.1f} |")
        missed |= (name != "small" and ratio > TARGET) or kept > KEPT_TARGET
    print(f"\nTargets: at most {TARGET} x bare for 40 stages, at most {KEPT_TARGET:.0f} µs for a kept one.")
    sys.exit(missed)


if __name__ == "__main__":
    main()
