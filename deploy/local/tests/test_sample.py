import base64
import os
import subprocess
from pathlib import Path

import pytest
from estafette_common.manifest import reading
from estafette_local import sample

KEY = base64.b64encode(b"k" * 32).decode()


def test_the_manifest_of_the_sample_is_valid() -> None:
    manifest = reading.read(sample.project(KEY)[".estafette.yaml"])
    assert [stage.name for stage in manifest.stages] == ["lint", "test", "build", "publish", "tell-the-team"]


def test_the_secret_of_the_sample_is_sealed() -> None:
    manifest = sample.project(KEY)[".estafette.yaml"]
    assert "estafette.secret(" in manifest
    assert sample.TOKEN not in manifest


@pytest.mark.parametrize("script", ["tests/run.sh", "build.sh"])
def test_the_scripts_of_the_sample_work(script: str, tmp_path: Path) -> None:
    for name, text in sample.project(KEY).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    given = {**os.environ, "PRICES": "data/prices.csv"}
    subprocess.run(["sh", script], cwd=tmp_path, check=True, env=given, timeout=30)
