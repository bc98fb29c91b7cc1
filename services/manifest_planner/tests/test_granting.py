"""The server's configuration from its file to the plan of a job, through the real service."""

import base64
import os
import subprocess
import sys
from pathlib import Path

import nats
from aiohttp import web
from estafette_common.bus.messages.events import GitPushed
from estafette_common.bus.messages.jobs import JobRequested
from estafette_common.bus.publishing import JetStreamPublisher
from estafette_common.bus.topology import declare
from estafette_common.jobs.plan import Plan, Repository
from estafette_common.manifest import secrets
from estafette_local.people import GitRepository
from estafette_local.servers import NatsServer
from estafette_local.waiting import eventually
from manifest_planner.app import create_app
from manifest_planner.settings import Settings

MANIFEST = """
stages:
  deploy: {image: "extensions/gke:stable"}
"""

CONFIG = """
credentials:
- name: production
  type: kubernetes-engine
  allowedPipelines: github.com/acme/.+
  serviceAccountKeyfile: {secret}
- name: elsewhere
  type: kubernetes-engine
  allowedPipelines: github.com/other/.+
"""

KEY = bytes(range(32))


async def test_a_job_gets_what_the_file_allows_it(nats_server: NatsServer, database_url: str, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG.format(secret=secrets.encrypt("hunter2", key=KEY)))
    repository = GitRepository(tmp_path / "repositories", "acme", "shop")
    revision = repository.commit({".estafette.yaml": MANIFEST})
    settings = Settings(
        nats_url=nats_server.url,
        database_url=database_url,
        secret_key=base64.b64encode(KEY).decode(),
        clone_url=f"file://{tmp_path}/repositories/{{owner}}/{{name}}.git",
        cache_dir=tmp_path / "cache",
        config_file=config,
    )
    runner = web.AppRunner(create_app(settings))
    await runner.setup()
    client = await nats.connect(nats_server.url)
    await declare(client.jetstream(), [])
    publisher = JetStreamPublisher(client, source="test")
    await publisher.start()
    place = Repository(source="github.com", owner="acme", name="shop")
    await publisher.publish(GitPushed(repository=place, ref="refs/heads/main", revision=revision), id="1")

    async def requested() -> JobRequested:
        message = await client.jetstream().get_last_msg("JOBS", "job.build.*.requested")
        return JobRequested.decode(message.data or b"", message.headers or {})

    job = await eventually(requested)
    await runner.cleanup()
    await client.close()

    assert [image["path"] for image in job.plan.trusted_images] == ["extensions/gke"]
    assert [credential["name"] for credential in job.plan.credentials] == ["production"]
    assert opened(job) == "hunter2"
    assert "hunter2" not in job.plan.model_dump_json()


def opened(job: JobRequested) -> str:
    """Return the secret of the job's credential as its builder reads it."""
    plan: Plan = job.plan
    key = secrets.unseal_key(job.sealed_key, secret_key=KEY, job_id=plan.job_id)
    sealed = plan.credentials[0]["additionalProperties"]["serviceAccountKeyfile"]
    return secrets.decrypt(sealed, key=key, pipeline=plan.repository.pipeline)


def test_a_service_with_a_broken_file_ends_and_says_where(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("credentials:\n- name: production\n")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ESTAFETTE_")}
    ours = {"ESTAFETTE_CONFIG_FILE": str(config), "ESTAFETTE_SECRET_KEY": base64.b64encode(KEY).decode()}
    ended = subprocess.run(
        [sys.executable, "-m", "manifest_planner"], env=inherited | ours, capture_output=True, text=True, check=False
    )

    assert ended.returncode == 1
    assert ended.stderr.strip() == f"{config}:2:3: credentials[0].type: missing"
