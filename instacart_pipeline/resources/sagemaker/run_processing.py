"""What a SageMaker processing job runs: unpacks the code and the artefacts, runs the script, packs what it wrote.

Runs in the framework's image by itself: it imports nothing but the standard library. Beside it lie `sourcedir.tar.gz` and
`order.json`, which says the script, its arguments, the names of the inputs, and whether the output is to be packed.
"""

import json
import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

_BASE = Path(os.environ["SM_PROCESSING_DIR"])
_FOLDERS = {"model.tar.gz": "model", "output.tar.gz": "output", "sourcedir.tar.gz": "code"}
_MESSAGE = 1000
"""Most characters that SageMaker takes of a script's last words."""


def main() -> int:
    """Do what the order beside this file says; the script's exit code."""
    here = Path(__file__).resolve().parent
    order = json.loads((here / "order.json").read_text(encoding="utf-8"))
    for name in order["artefacts"]:
        for archive, folder in _FOLDERS.items():
            _unpack(_BASE / "archives" / name / archive, _BASE / "input" / name / folder)
    for name in order["tables"]:
        (_BASE / "input" / name).mkdir(parents=True, exist_ok=True)
    code, output = _BASE / "work", _BASE / "output"
    output.mkdir(parents=True, exist_ok=True)
    _unpack(here / "sourcedir.tar.gz", code)
    ended = _run([sys.executable, order["script"], *order["arguments"]], code)
    if ended == 0 and order["packed"]:
        packed = _BASE / "packed"
        packed.mkdir(exist_ok=True)
        with tarfile.open(packed / "output.tar.gz", "w:gz") as made:
            for each in sorted(output.iterdir()):
                made.add(each, each.name)
    return ended


def _run(command: list[str], folder: Path) -> int:
    """Run the script. If it fails, its last words become SageMaker's exit message."""
    child = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True, errors="replace")  # noqa: S603
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())  # SageMaker tells only the first process to stop
    said: list[str] = []
    for line in child.stderr or ():
        sys.stderr.write(line)
        said = [*said[-20:], line]
    ended = child.wait()
    if ended != 0:
        message = _BASE.parent / "output" / "message"
        message.parent.mkdir(parents=True, exist_ok=True)
        message.write_text("".join(said)[-_MESSAGE:], encoding="utf-8")
    return abs(ended)


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive. One that is not there leaves an empty folder."""
    folder.mkdir(parents=True, exist_ok=True)
    if archive.exists():
        with tarfile.open(archive) as packed:
            packed.extractall(folder)  # noqa: S202  # packed by this project's jobs; older Pythons know no filter


if __name__ == "__main__":
    raise SystemExit(main())
