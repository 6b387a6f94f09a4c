"""Tuning on this machine: Optuna proposes the hyper-parameters, a child process tries them, and hopeless ones are ended early.

Belongs here: the search. Doesn't: what a training is (jobs.py).
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dagster import get_dagster_logger

from instacart_pipeline.container.training import Metrics
from instacart_pipeline.lake.artefacts import Artefact, Trial
from instacart_pipeline.lake.errors import JobFailed
from instacart_pipeline.lake.versions import Version
from instacart_pipeline.resources.sagemaker import Hyperparameters, TuningJob
from instacart_pipeline.resources.sagemaker.local.artefacts import Artefacts
from instacart_pipeline.resources.sagemaker.local.jobs import lineage_by_table, training_in, versions_of

if TYPE_CHECKING:
    import optuna

_SEED = 20
_WARM_UP = 5
"""How many values of the objective a trial may report before it is compared with the others."""


@dataclass
class _Tried:
    """A trial, with all that came of it."""

    trial: Trial
    metrics: Mapping[str, float] = field(default_factory=dict)
    problem: str = ""


class _Hopeless(Exception):
    """A trial has fallen behind the others."""


def tune(artefacts: Artefacts, job: TuningJob, dt: str) -> Artefact:
    """See SageMaker.tune."""
    started, lake, training = time.perf_counter(), artefacts.lake, job.training
    inputs = versions_of(lake, training.channels, dt)
    lineage = lineage_by_table(training.channels, inputs)
    with artefacts.new(training.system, job.name, dt) as folder, lake.scratch() as work:
        search = _Search(job, inputs, work, max(1, lake.threads // min(job.at_once, job.trials)))
        tried = search.run()
        best = _best(job, tried)
        return artefacts.made(
            folder,
            (training.system, job.name, dt),
            training.code,
            started,
            hyperparameters=best.trial.hyperparameters,
            metrics=best.metrics,
            lineage=lineage,
            trials=tuple(each.trial for each in tried),
        )


class _Search:
    """One tuning under way. Trials run in threads; what they ask of the study, they ask one at a time."""

    def __init__(self, job: TuningJob, inputs: Mapping[str, Version], work: Path, threads: int) -> None:
        self._job, self._inputs, self._work, self._threads = job, inputs, work, threads
        self._study = _study(job)
        self._asking = threading.Lock()
        self._stop = threading.Event()

    def run(self) -> list[_Tried]:
        """All trials, in the order they were proposed."""
        log, done = get_dagster_logger(), list[_Tried]()
        with self._pool() as pool:
            waiting: set[Future[_Tried]] = {pool.submit(self._try) for _ in range(self._job.trials)}
            while waiting:
                # With a limit, as only then the wait is open to a signal on every platform.
                finished, waiting = wait(waiting, timeout=1.0, return_when=FIRST_COMPLETED)
                for future in finished:
                    tried = future.result()
                    done.append(tried)
                    value = "none" if tried.trial.objective is None else f"{tried.trial.objective:.6g}"
                    log.info(
                        "%s: trial %d of %d %s after %.1f s: %s=%s with %s",
                        *(self._job.name, tried.trial.number, self._job.trials, tried.trial.state.lower()),
                        *(tried.trial.seconds, self._job.objective, value, dict(tried.trial.hyperparameters)),
                    )
        return sorted(done, key=lambda tried: tried.trial.number)

    @contextmanager
    def _pool(self) -> Iterator[ThreadPoolExecutor]:
        """Threads for the trials. Left by an error or a signal, none is still at work afterwards."""
        pool = ThreadPoolExecutor(min(self._job.at_once, self._job.trials), "trial")
        try:
            yield pool
        finally:
            self._stop.set()
            pool.shutdown(wait=True, cancel_futures=True)

    def _try(self) -> _Tried:
        started = time.perf_counter()
        with self._asking:
            asked = self._study.ask()
            proposed = self._proposed(asked)
        given = {**self._job.training.hyperparameters, **proposed}
        folder = self._work / f"trial-{asked.number + 1}"
        training = replace(self._job.training, hyperparameters=given)
        metrics = Metrics(training.metrics)
        state, problem = "Completed", ""

        def on_line(line: str) -> None:
            values = metrics.found[self._job.objective]
            known = len(values)
            metrics.read(line)
            with self._asking:
                for step in range(known, len(values)):
                    asked.report(values[step], step)
                if len(values) > known and asked.should_prune():
                    raise _Hopeless

        try:
            name = f"{self._job.name}, trial {asked.number + 1}"
            training_in(folder, training, self._inputs, self._threads, name).run(on_line, self._stop)
        except _Hopeless:
            state = "Stopped"
        except JobFailed as error:
            state, problem = "Failed", str(error)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return self._told(asked, given, metrics, state, problem, time.perf_counter() - started)

    def _told(
        self,
        asked: optuna.Trial,
        given: Hyperparameters,
        metrics: Metrics,
        state: str,
        problem: str,
        seconds: float,
    ) -> _Tried:
        """Let the study know what came of a trial."""
        from optuna.trial import TrialState  # noqa: PLC0415  # loaded by now

        values = metrics.found[self._job.objective]
        best = (max(values) if self._job.maximize else min(values)) if values else None
        with self._asking:
            if state == "Completed" and best is not None:
                self._study.tell(asked, best)
            else:
                self._study.tell(asked, state=TrialState.PRUNED if state == "Stopped" else TrialState.FAIL)
        reached = {**metrics.last, **({} if best is None else {self._job.objective: best})}
        return _Tried(Trial(asked.number + 1, state, given, best, seconds), reached, problem)

    def _proposed(self, asked: optuna.Trial) -> dict[str, int | float]:
        return {
            name: asked.suggest_int(name, int(given.low), int(given.high))
            if given.kind == "integer"
            else asked.suggest_float(name, given.low, given.high)
            for name, given in self._job.ranges.items()
        }


def _study(job: TuningJob) -> optuna.Study:
    import optuna  # noqa: PLC0415  # slow to load, and only a tuning needs it

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # A few proposals at random to learn from; of a small budget, some must be left to use what was learnt.
    at_random = min(10, max(2, job.trials // 3))
    study = optuna.create_study(
        direction="maximize" if job.maximize else "minimize",
        sampler=optuna.samplers.TPESampler(seed=_SEED, n_startup_trials=at_random),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=min(2, job.at_once), n_warmup_steps=_WARM_UP),
    )
    own = {name: value for name, value in job.training.hyperparameters.items() if name in job.ranges}
    if all(name in own and given.low <= float(own[name]) <= given.high for name, given in job.ranges.items()):
        # The values at hand are the first to be tried: the search never ends with worse ones.
        study.enqueue_trial(
            {name: int(v) if job.ranges[name].kind == "integer" else float(v) for name, v in own.items()}
        )
    return study


def _best(job: TuningJob, tried: list[_Tried]) -> _Tried:
    """The trial that reached the best objective, among those that came to their end if any did."""
    for state in ("Completed", "Stopped"):
        reached = [(each.trial.objective, each) for each in tried if each.trial.state == state]
        ranked = sorted(
            ((value, each) for value, each in reached if value is not None),
            key=lambda one: (-one[0] if job.maximize else one[0], one[1].trial.number),
        )
        if ranked:
            return ranked[0][1]
    problems = [each.problem for each in tried if each.problem]
    why = problems[-1] if problems else f"Their output holds nothing like {job.training.metrics[job.objective]!r}."
    raise JobFailed(f"{job.name}: none of {len(tried)} trials reported {job.objective}. {why}")
