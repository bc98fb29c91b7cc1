"""`estafette plan` hands over to the planner."""

import json
import subprocess
import sys
from pathlib import Path

MANIFEST = "stages:\n  test:\n    image: busybox:latest\n    commands: [make]\n"
PUSH = {
    "type": "estafette.git.pushed.v1",
    "data": {
        "repository": {"source": "github.com", "owner": "acme", "name": "shop"},
        "ref": "refs/heads/main",
        "revision": "5" * 40,
    },
}


def test_the_planner_tells_what_the_manifest_of_this_folder_would_make_of_an_event(tmp_path: Path) -> None:
    (tmp_path / ".estafette.yaml").write_text(MANIFEST)
    (tmp_path / "push.json").write_text(json.dumps(PUSH))
    (tmp_path / "manifest_planner").mkdir()  # is not taken for the planner
    (tmp_path / "manifest_planner/__init__.py").write_text("raise SystemExit('this is not the planner')\n")

    command = [sys.executable, "-P", "-m", "cli", "plan", "--event", "push.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert "push started: push to main\n" in done.stdout
    assert "stage test (busybox:latest)\n" in done.stdout
