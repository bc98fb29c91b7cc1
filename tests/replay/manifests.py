"""Manifests of the pipelines in the recorded stream; together they have every kind of trigger, target and bot."""

VERSION = "version: {semver: {major: 1, minor: 0}}\n"
STAGES = "stages: {build: {image: 'busybox:1', commands: [make]}}\n"
DEPLOY = "stages: {deploy: {image: 'busybox:1', commands: [deploy]}}"
TIDY = "stages: {tidy: {image: 'busybox:1', commands: [tidy]}}"

PLAIN = VERSION + STAGES
BROKEN = "stages: {build: {}}\n"
UNREADABLE = "stages: [\n"

SHOP = f"""{PLAIN}
labels: {{app: shop}}
releases:
  staging: {{triggers: [{{pipeline: {{name: self}}}}], clone: true, {DEPLOY}}}
  production:
    actions: [{{name: stable}}, {{name: canary}}]
    triggers: [{{release: {{name: self, target: staging}}, releases: {{action: canary}}}}]
    {DEPLOY}
bots:
  announce:
    triggers: [{{release: {{name: self, target: production}}}}]
    {TIDY}
"""

WEB = f"""{PLAIN}
triggers:
- {{name: shop, pipeline: {{name: github.com/acme/shop}}, builds: {{branch: main}}}}
releases:
  live: {{triggers: [{{pipeline: {{name: self}}, releases: {{version: same}}}}], {DEPLOY}}}
"""

TOOL = f"""{PLAIN}
triggers:
- {{git: {{repository: github.com/acme/lib}}, builds: {{branch: main}}}}
bots:
  announce: {{triggers: [{{pipeline: {{name: self, event: started}}}}], {TIDY}}}
"""

TOOL_WITHOUT_TRIGGERS = PLAIN

NIGHTLY = f"""{PLAIN}
triggers:
- {{cron: {{schedule: '0 3 * * *'}}, builds: {{branch: main}}}}
releases:
  weekly: {{triggers: [{{cron: {{schedule: '30 3 * * *'}}, releases: {{version: latest}}}}], {DEPLOY}}}
"""

IMAGE = f"""{PLAIN}
triggers:
- {{docker: {{image: golang, tag: '1.21.0', policy: minor}}, builds: {{branch: main}}}}
- {{pubsub: {{project: acme, topic: orders}}, builds: {{branch: main}}}}
releases:
  mirror: {{triggers: [{{docker: {{image: redis, policy: minor, fireOnFirst: true}}}}], {DEPLOY}}}
"""

HELPER = f"""{PLAIN}
bots:
  triage: {{triggers: [{{github: {{events: [issues, issue_comment]}}}}], {TIDY}}}
  review: {{triggers: [{{github: {{events: [pull_request]}}}}], {TIDY}}}
  welcome: {{triggers: [{{bitbucket: {{events: ['issue:created']}}}}], {TIDY}}}
"""

PING = f"{PLAIN}triggers: [{{pipeline: {{name: github.com/acme/pong}}, builds: {{branch: main}}}}]\n"
PONG = f"{PLAIN}triggers: [{{pipeline: {{name: github.com/acme/ping}}, builds: {{branch: main}}}}]\n"


def excluding(policy: str) -> str:
    """Return a manifest whose builds of a branch exclude each other."""
    return f"concurrency: {{policy: {policy}}}\n{PLAIN}"
