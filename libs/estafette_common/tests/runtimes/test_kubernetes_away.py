import json
import os
import subprocess
import sys
from pathlib import Path

ASK = """
import asyncio
from estafette_common.jobs.runtimes import RuntimeUnavailableError
from estafette_common.jobs.runtimes.settings import RuntimeSettings, create_runtime

async def main():
    runtime = create_runtime(RuntimeSettings(runtime="kubernetes"))
    for call in (runtime.jobs(), runtime.remove("build-7")):
        try:
            await call
        except RuntimeUnavailableError:
            print("unavailable")
    await runtime.close()

asyncio.run(main())
"""


def test_an_api_server_that_is_away_is_an_unavailable_runtime(tmp_path: Path) -> None:
    nowhere = {
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(nowhere))

    done = _run(KUBECONFIG=str(tmp_path / "kubeconfig"))

    assert done.stdout.split() == ["unavailable", "unavailable"], done.stderr


def _run(**environment: str) -> "subprocess.CompletedProcess[str]":
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ESTAFETTE_", "KUBE"))}
    command = [sys.executable, "-c", ASK]
    return subprocess.run(command, env=inherited | environment, capture_output=True, text=True, check=False)
