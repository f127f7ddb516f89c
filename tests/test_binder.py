"""The plan by which Binder and JupyterHub build the repository: repo2docker's rules."""

import os
import shutil
import sys
from pathlib import Path

import pytest
from repo2docker.app import Repo2Docker

ROOT = Path(__file__).parents[1]
CONFIGURATION = ROOT / ".binder"


def plan(folder, monkeypatch):
    """Return the build pack that takes a repository; no container engine is asked."""
    monkeypatch.chdir(folder)
    app = Repo2Docker()
    for kind in app.buildpacks:
        pack = kind(base_image=app.base_image)
        if pack.detect():
            pack.platform = "linux/amd64"  # what Binder's machines are
            return pack
    raise AssertionError("no build pack takes the repository")


@pytest.fixture
def copy(tmp_path):
    """The files that decide the plan, in a folder of their own."""
    shutil.copytree(CONFIGURATION, tmp_path / ".binder")
    for name in ("requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def test_the_plan_installs_the_lock_and_the_laboratory(monkeypatch):
    pack = plan(ROOT, monkeypatch)
    assert type(pack).__name__ == "PythonBuildPack"
    dockerfile = pack.render({"NB_USER": "reader", "NB_UID": "1000"})
    install = 'pip install --no-cache-dir -r ".binder/requirements.txt"'
    assert dockerfile.index("COPY --chown=1000:1000 src/ ") < dockerfile.index(install)
    assert dockerfile.index(install) < dockerfile.index("RUN ./.binder/postBuild")


def test_the_listed_requirements_are_the_lock():
    listed = (CONFIGURATION / "requirements.txt").read_text(encoding="utf-8").split()
    assert listed[0] == "-r"
    assert len(listed) == 2
    assert (CONFIGURATION / listed[1]).resolve() == ROOT / "requirements.txt"


def test_the_python_is_one_of_the_lock(monkeypatch):
    pack = plan(ROOT, monkeypatch)
    wanted = (CONFIGURATION / "runtime.txt").read_text(encoding="utf-8").strip()
    assert wanted == f"python-{pack.python_version}"
    version = tuple(map(int, pack.python_version.split(".")))
    monkeypatch.setattr(sys, "version_info", version)
    exec((ROOT / "tools" / "python_version.py").read_text(encoding="utf-8"), {})


def test_the_script_that_installs_the_laboratory_can_run():
    script = CONFIGURATION / "postBuild"
    assert os.access(script, os.X_OK)
    text = script.read_text(encoding="utf-8")
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in text
    assert "pip install --no-deps --editable ." in text


@pytest.mark.parametrize("name", ["requirements.txt", "postBuild"])
def test_a_missing_file_is_missed_in_the_plan(copy, name, monkeypatch):
    (copy / ".binder" / name).unlink()
    dockerfile = plan(copy, monkeypatch).render({})
    assert f".binder/{name}" not in dockerfile
