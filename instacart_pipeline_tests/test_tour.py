"""The first hour: `make run` and the commands of docs/tour.md, as they are written, in a real bash on what `make run` made."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow.compute as pc
import pytest
from pyarrow import csv

from instacart_pipeline.datagen.reorder import generate_reorder
from instacart_pipeline.settings import PROJECT
from instacart_pipeline_tests.command_line import call, environment
from instacart_pipeline_tests.reorder.short_trainings import shorten
from instacart_pipeline_tests.serving.processes import Serving, serving
from instacart_pipeline_tests.tiers import costs

TOUR = (PROJECT / "docs" / "tour.md").read_text(encoding="utf-8")
USER, PRODUCT = re.findall(r"/v1/users/(\d+)/products/(\d+)/", TOUR)[0]
SECTIONS = ("The model and its page", "Transactions and sales", "Customers", "Your own data")
"""Those with commands on data. The last one has make targets only; the AWS commands of the README are run on the double by tests of their own."""
_CLIENT = """#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as to, to.makefile("rw") as file:
    to.connect({address!r})
    settings = {{name: value for name, value in os.environ.items() if name.startswith("INSTACART_")}}
    print(json.dumps([os.getcwd(), sys.argv[1:], settings]), file=file, flush=True)
    code, out, err = json.loads(file.readline())
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(code)
"""
"""What stands for the command in bash: it has this process run it, which spares each call the start of one."""


@dataclass
class Clone:
    """A folder like a clone after `make run`, and where its commands are run."""

    folder: Path
    program: Path
    listener: socket.socket

    @property
    def home(self) -> Path:
        """Where the platform keeps everything."""
        return self.folder / ".instacart"

    def bash(self, script: str) -> tuple[int, str]:
        """The exit code of a script, which ends with the first command that fails, and all it printed."""
        path = f"{self.program.parent}{os.pathsep}{os.environ['PATH']}"
        settings = {"PATH": path, "HOME": str(self.folder), "INSTACART_TRAINING_PAIRS": "20000"}
        with (self.folder / "printed").open("w+") as printed:
            running = subprocess.Popen(
                ["bash", "-eu", "-o", "pipefail", "-x", "-c", script],
                cwd=self.folder,
                env=environment(self.home, settings),
                stdout=printed,
                stderr=printed,
            )
            while running.poll() is None:
                self._answer()
            printed.seek(0)
            return running.returncode, printed.read()

    def _answer(self) -> None:
        try:
            asked, _ = self.listener.accept()
        except TimeoutError:
            return
        with asked, asked.makefile("rw") as file:
            folder, arguments, settings = json.loads(file.readline())
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(folder)
                ended = call(Path(settings.pop("INSTACART_HOME")), *arguments, **settings)
            print(json.dumps([ended.code, ended.out, ended.err]), file=file, flush=True)


@pytest.fixture(scope="module")
@costs("e2e")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """A clone in which `make run` ended well, with trainings that are short."""
    folder = tmp_path_factory.mktemp("clone")
    shutil.copy(PROJECT / "Makefile", folder)
    for name in ("bin/instacart-pipeline", ".venv/bin/activate", ".venv/.run"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch(0o755)
    program, address = folder / "bin" / "instacart-pipeline", str(folder / "calls")
    program.write_text(_CLIENT.format(python=sys.executable, address=address))
    with pytest.MonkeyPatch.context() as patch, socket.socket(socket.AF_UNIX) as listener:
        shorten(patch)
        listener.bind(address)
        listener.listen()
        listener.settimeout(0.1)
        made = Clone(folder, program, listener)
        code, printed = made.bash(
            f"make run -o .venv/.run CLI={program} PYTHON={sys.executable} SCALE=0.002 INVOICE_DAYS=3"
        )
        assert code == 0, printed
        yield made


@pytest.fixture(scope="module")
def served(clone: Clone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """What `make serve` starts there."""
    with serving(clone.home, log=tmp_path_factory.mktemp("served") / "log") as started:
        yield started


def commands(heading: str) -> str:
    """The commands of a section, as they are written."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## )", TOUR, re.DOTALL | re.MULTILINE)
    return "\n".join(re.findall(r"^```\n(source .*?)^```", section, re.DOTALL | re.MULTILINE))


def bananas(home: Path) -> str:
    """The number of the product that the tour asks for, which another scale of the made-up shop numbers otherwise."""
    query = "SELECT min(product_id) FROM reorder_curated.products WHERE product_name = 'Bananas'"
    return call(home, "sql", query, "--format", "csv").out.split()[-1]


def test_the_tours_user_has_bought_the_tours_product_in_what_make_run_makes(tmp_path: Path) -> None:
    scale = re.findall(r"^SCALE \?= (.+)$", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[0]
    (made,) = generate_reorder(tmp_path, scale=float(scale), first_day=date(2026, 11, 24), progress=lambda *_: None)
    orders, lines = (csv.read_csv(made.folder / f"{name}.csv") for name in ("orders", "order_products__prior"))
    theirs = orders.filter(pc.field("user_id") == int(USER))
    assert "test" in theirs["eval_set"].to_pylist(), "an open order"
    bought = lines.filter(pc.field("order_id").isin(theirs["order_id"].to_pylist()))["product_id"]
    assert int(PRODUCT) in bought.to_pylist()


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_command_of_the_tour_does_what_it_is_there_for(clone: Clone, served: Serving, heading: str) -> None:
    here = {
        "http://127.0.0.1:8000": served.url,
        "stream send ": f"stream send --url {served.url} ",
        "/tmp/": f"{clone.folder}/",  # noqa: S108  # as it is written
        PRODUCT: bananas(clone.home),
    }
    script = commands(heading)
    for written, meant in here.items():
        script = script.replace(written, meant)
    code, printed = clone.bash(script)
    assert code == 0, printed
    assert '"error"' not in printed, printed
