"""The chart on a real cluster, in a namespace of its own, with images of this machine."""

import asyncio
import json
import secrets
import shutil
import socket
import subprocess
import tempfile
from base64 import b64decode
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from estafette_local.waiting import eventually
from helm_python import Config
from kubernetes_asyncio import client

CHART = Path(__file__).parents[2] / "deploy/helm/estafette-ci"
RELEASE = "estafette-ci"

SERVICES = (
    *("webhook-ingress", "cron-sender", "manifest-planner", "job-dispatcher", "hanging-job-cleaner"),
    *("log-sink", "notifier", "api", "web", "builder"),
)

READY_WITHIN = 420
"""Seconds for an installation: every pod starts at once, on as few cores as there are."""

Values = dict[str, Any]


class Installation:
    """A release of the chart and what is around it."""

    def __init__(self, api: client.ApiClient, kubeconfig: str, namespace: str, *, address: str, values: Values) -> None:
        self.namespace = namespace
        self.address = address
        self.values = values
        self._kubeconfig = kubeconfig
        self.core = client.CoreV1Api(api)
        self.batch = client.BatchV1Api(api)

    @property
    def jobs_namespace(self) -> str:
        return f"{self.namespace}-jobs"

    async def helm(self, verb: str, *arguments: Any, **options: Any) -> Any:
        """Do something with Helm, which waits for it; it has no other way than to block."""

        def call() -> Any:
            with Config(kubeconfig_path=self._kubeconfig, namespace=self.namespace) as config:
                return getattr(config, verb)(*arguments, timeout=READY_WITHIN, **options)

        return await asyncio.to_thread(call)

    async def install(self, values: Values) -> None:
        await self.helm("install", CHART, RELEASE, merged(self.values, values), wait="watcher")

    async def upgrade(self, values: Values, *, wait: str = "watcher") -> None:
        await self.helm("upgrade", CHART, RELEASE, merged(self.values, values), wait=wait)

    async def uninstall(self) -> None:
        await self.helm("uninstall", RELEASE, wait="watcher")

    async def pods(self) -> list[Any]:
        """Return the pods of the release that are neither done nor on their way out."""
        found = (await self.core.list_namespaced_pod(self.namespace)).items
        return [pod for pod in found if not pod.metadata.deletion_timestamp and pod.status.phase != "Succeeded"]

    async def unready(self) -> list[str]:
        """Return the names of the pods that are not ready."""
        return [pod.metadata.name for pod in await self.pods() if not _is_ready(pod)]

    async def secret(self, name: str) -> dict[str, str]:
        found = await self.core.read_namespaced_secret(f"{RELEASE}-{name}", self.namespace)
        return {key: b64decode(value).decode() for key, value in found.data.items()}

    async def url(self, part: str) -> str:
        """Return where a part with a service of the type NodePort is."""
        service = await self.core.read_namespaced_service(f"{RELEASE}-{part}", self.namespace)
        return f"http://{self.address}:{service.spec.ports[0].node_port}"

    async def kubectl(self, *arguments: str, given: str = "") -> str:
        """Return what kubectl prints; AssertionError with what it says when it fails."""
        command = ["kubectl", "--kubeconfig", self._kubeconfig, "--namespace", self.namespace, *arguments]
        done = await asyncio.to_thread(
            subprocess.run, command, input=given, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return str(done.stdout)

    async def run_now(self, name: str, cronjob: str, *, command: str = "") -> None:
        """Do now what a CronJob of the release does, or a shell command in its place; return when it succeeded."""
        found = json.loads(await self.kubectl("get", f"cronjob/{RELEASE}-{cronjob}", "-o", "json"))
        spec = found["spec"]["jobTemplate"]["spec"]
        if command:
            spec["template"]["spec"]["containers"][0]["command"] = ["sh", "-euc", command]
        job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}
        await self.kubectl("create", "-f", "-", given=json.dumps(job))
        await self.kubectl("wait", f"job/{name}", "--for=condition=complete", "--timeout=120s")

    async def query(self, replica: int, statement: str) -> str:
        """Return what a replica of PostgreSQL answers, without a head or padding."""
        psql = ("psql", "--host=/run/postgresql", "--username=postgres", "--no-align", "--tuples-only", "estafette")
        pod = f"{RELEASE}-db-{replica}"
        return (await self.kubectl("exec", pod, "--", *psql, f"--command={statement}")).strip()

    async def left(self) -> set[str]:
        """Return what there is of the release in its namespace, by kind and name."""
        more = (
            "configmaps",
            "secrets",
            "persistentvolumeclaims",
            "serviceaccounts",
            "networkpolicies",
            "poddisruptionbudgets",
        )
        kinds = ",".join(("all", "ingresses", "roles", "rolebindings", *more))
        listed = json.loads(await self.kubectl("get", kinds, "-o", "json"))["items"]
        return {f"{each['kind']} {each['metadata']['name']}" for each in listed if RELEASE in each["metadata"]["name"]}


def merged(*values: Values) -> Values:
    """Return values laid over each other."""
    result: Values = {}
    for each in values:
        for key, value in each.items():
            known = result.get(key)
            result[key] = merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return result


def _is_ready(pod: Any) -> bool:
    return any(each.type == "Ready" and each.status == "True" for each in pod.status.conditions or [])


@contextmanager
def tagged(tag: str) -> Iterator[str]:
    """Give the images of `docker compose build` another tag: a second version of everything."""
    for service in SERVICES:
        _docker("tag", f"estafette/{service}:latest", f"estafette/{service}:{tag}")
    try:
        yield tag
    finally:
        _docker("rmi", *(f"estafette/{service}:{tag}" for service in SERVICES))


def has_images() -> bool:
    """Return whether the images are there; without Docker at hand they are taken to be."""
    if shutil.which("docker") is None:
        return True
    asked = subprocess.run(
        ["docker", "image", "inspect", *(f"estafette/{service}:latest" for service in SERVICES)],
        capture_output=True,
        check=False,
    )
    return asked.returncode == 0


def _docker(*arguments: str) -> None:
    subprocess.run(["docker", *arguments], capture_output=True, check=True)


@asynccontextmanager
async def installation(api: client.ApiClient, kubeconfig: str) -> AsyncIterator[Installation]:
    """Give a namespace to install into; what a cluster as small as one node lacks is made good."""
    core = client.CoreV1Api(api)
    namespace = f"estafette-chart-{secrets.token_hex(4)}"
    address = await _address(core)
    async with AsyncExitStack() as stack:
        values: Values = {}
        if not (await client.StorageV1Api(api).list_storage_class()).items:
            values = merged(values, await stack.enter_async_context(_volumes(core, namespace)))
        body: Any = {"metadata": {"name": namespace}}
        await core.create_namespace(body)
        stack.push_async_callback(_forget, core, namespace)
        if urlsplit(configured := _server(kubeconfig)).hostname in ("127.0.0.1", "localhost"):
            port = await stack.enter_async_context(_passage(address, urlsplit(configured).port or 443))
            await _tell_pods(core, namespace, f"https://{address}:{port}")
            values = merged(values, {"kubeconfigSecret": "reach"})
        yield Installation(api, kubeconfig, namespace, address=address, values=values)


async def _address(core: client.CoreV1Api) -> str:
    [node, *_] = (await core.list_node()).items
    return str(next(each.address for each in node.status.addresses if each.type == "InternalIP"))


async def _forget(core: client.CoreV1Api, namespace: str) -> None:
    names = [namespace, f"{namespace}-jobs"]
    for name in names:
        with suppress(client.ApiException):
            await core.delete_namespace(name)

    async def gone() -> bool:
        return not {each.metadata.name for each in (await core.list_namespace()).items} & set(names)

    await eventually(gone, within=240)


def _server(kubeconfig: str) -> str:
    """Return the address of the API server."""
    return str(yaml.safe_load(Path(kubeconfig).read_text())["clusters"][0]["cluster"]["server"])


@asynccontextmanager
async def _passage(address: str, port: int) -> AsyncIterator[int]:
    """Lead pods to an API server that listens on loopback of this machine alone."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(carry(reader, inner_writer), carry(inner_reader, writer))

    server = await asyncio.start_server(connected, address, 0, family=socket.AF_INET)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def _tell_pods(core: client.CoreV1Api, namespace: str, server: str) -> None:
    """Make the Secret that says where the API server is, whose certificate names another address."""
    account = "/var/run/secrets/kubernetes.io/serviceaccount/token"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "here", "cluster": {"server": server, "insecure-skip-tls-verify": True}}],
        "users": [{"name": "pod", "user": {"tokenFile": account}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "pod"}}],
        "current-context": "here",
    }
    body: Any = {"metadata": {"name": "reach"}, "stringData": {"kubeconfig": yaml.safe_dump(config)}}
    await core.create_namespaced_secret(namespace, body)


VOLUMES: Mapping[str, int] = {"queue": 5, "db": 5}
"""How many volumes the largest installation of the tests wants."""


@asynccontextmanager
async def _volumes(core: client.CoreV1Api, namespace: str) -> AsyncIterator[Values]:
    """Make folders of this machine volumes, on a cluster that makes none."""
    names = [f"{namespace}-{part}-{number}" for part, most in VOLUMES.items() for number in range(most)]
    folder = _folders(names)
    for name in names:
        body: Any = {
            "metadata": {"name": name},
            "spec": {
                "storageClassName": namespace,
                "capacity": {"storage": "100Gi"},
                "accessModes": ["ReadWriteOnce"],
                "hostPath": {"path": str(folder / name)},
            },
        }
        await core.create_persistent_volume(body)
    storage = {"storageClass": namespace}
    yield {
        "db": {"persistence": storage, "backup": storage},
        "queue": {"nats": {"jetstream": {"fileStorage": storage}}},
    }
    for name in names:
        await core.delete_persistent_volume(name)
    shutil.rmtree(folder, ignore_errors=True)


def _folders(names: list[str]) -> Path:
    """Make folders that everybody may write to: each server is a user of its own, and nobody hands them over."""
    folder = Path(tempfile.mkdtemp(prefix="estafette-chart-"))
    folder.chmod(0o755)
    for name in names:
        (folder / name).mkdir()
        (folder / name).chmod(0o777)
    return folder
