"""The package as a wheel holds it, and how it is called."""

import runpy
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from instacart_pipeline.settings import PROJECT

setuptools = pytest.importorskip("setuptools", reason="needs setuptools: pip install setuptools")


def test_a_wheel_holds_every_file_of_the_package_and_dagsters_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {"script_name": "setup.py"}
    monkeypatch.chdir(PROJECT)
    with patch.object(setuptools, "setup", lambda **keywords: given.update(keywords)):
        runpy.run_path("setup.py")
    build = setuptools.Distribution(given).get_command_obj("build_py")
    build.build_lib = str(tmp_path)
    build.ensure_finalized()
    build.run()
    there = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    package = [path for path in (PROJECT / "instacart_pipeline").rglob("*") if path.is_file()]
    wanted = {str(path.relative_to(PROJECT)) for path in package if "__pycache__" not in path.parts}
    assert there == wanted | {"instacart_pipeline/dagster.yaml", "instacart_pipeline/workspace.yaml"}


def test_python_runs_the_package_as_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    with patch.object(sys, "argv", ["instacart_pipeline", "--version"]), pytest.raises(SystemExit) as ended:
        runpy.run_module("instacart_pipeline", run_name="__main__")
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("instacart-pipeline ")
