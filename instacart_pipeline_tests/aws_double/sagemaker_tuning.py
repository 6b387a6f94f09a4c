"""Tuning jobs: trainings with sampled hyper-parameters, so many at a time, and the best of them."""

from __future__ import annotations

import random
import threading
from typing import Any

from instacart_pipeline_tests.aws_double.jobs import JobFailure, JobRun
from instacart_pipeline_tests.aws_double.paging import page
from instacart_pipeline_tests.aws_double.sagemaker_container import Container
from instacart_pipeline_tests.aws_double.sagemaker_jobs import JobKind, arn
from instacart_pipeline_tests.aws_double.sagemaker_training import Training, require_script_mode
from instacart_pipeline_tests.aws_double.wire import AwsError, Parameters


class Tuning(JobKind):
    """The part of the API that is about tuning jobs. It samples at random: what a Bayesian search would find is not its business."""

    kind = "hyper-parameter-tuning-job"
    group = "TrainingJobs"

    def __init__(self, training: Training, *given: Any) -> None:
        super().__init__(*given)
        self._training = training
        self._trials: dict[str, list[tuple[str, dict[str, str]]]] = {}

    def create_hyper_parameter_tuning_job(self, parameters: Parameters) -> Parameters:
        """Start a search."""
        name, definition = parameters["HyperParameterTuningJobName"], parameters["TrainingJobDefinition"]
        require_script_mode(definition.get("StaticHyperParameters") or {})
        objective = parameters["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["MetricName"]
        metrics = [each["Name"] for each in definition["AlgorithmSpecification"].get("MetricDefinitions") or ()]
        if objective not in metrics:
            raise AwsError("ValidationException", f"The objective metric {objective} is none of {metrics}")
        self._trials.setdefault(name, [])
        return self.begin(name, parameters, self._work)

    def describe_hyper_parameter_tuning_job(self, parameters: Parameters) -> Parameters:
        """A search, with the best of its trainings so far."""
        name = parameters["HyperParameterTuningJobName"]
        run, given = self.found(name)
        summaries = [self._summary(name, *trial) for trial in self._trials[name]]
        told = [each for each in summaries if each["FinalHyperParameterTuningJobObjectiveMetric"]]
        objective = given["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
        told.sort(
            key=lambda each: each["FinalHyperParameterTuningJobObjectiveMetric"]["Value"],
            reverse=objective["Type"] == "Maximize",
        )
        ended = [each["TrainingJobStatus"] for each in summaries]
        counters = {state: ended.count(state) for state in ("Completed", "InProgress", "Stopped")}
        return {
            **self.described(name),
            "HyperParameterTuningEndTime": run.ended,
            "TrainingJobStatusCounters": {**counters, "NonRetryableError": ended.count("Failed"), "RetryableError": 0},
            "ObjectiveStatusCounters": {
                "Succeeded": len(told),
                "Pending": counters["InProgress"],
                "Failed": len(summaries) - len(told) - counters["InProgress"],
            },
            "BestTrainingJob": told[0] if told else None,
        }

    def list_training_jobs_for_hyper_parameter_tuning_job(self, parameters: Parameters) -> Parameters:
        """A search's trainings."""
        name = parameters["HyperParameterTuningJobName"]
        self.found(name)
        found = [self._summary(name, *trial) for trial in self._trials[name]]
        if parameters.get("SortOrder") != "Ascending":
            found.reverse()
        shown, token = page(found, parameters.get("NextToken"), parameters.get("MaxResults") or 10)
        return {"TrainingJobSummaries": shown, "NextToken": token}

    def stop_hyper_parameter_tuning_job(self, parameters: Parameters) -> Parameters:
        """Ask a search and its trainings to stop."""
        return self.end(parameters["HyperParameterTuningJobName"])

    def _work(self, run: JobRun, container: Container) -> None:
        del container
        given: Parameters = run.arguments
        limits = given["HyperParameterTuningJobConfig"]["ResourceLimits"]
        room = threading.Semaphore(limits["MaxParallelTrainingJobs"])
        dice = random.Random(run.id)  # noqa: S311  # samples, guards nothing
        threads = []
        with run.stoppable_by(lambda: self._stop_trials(run.id)):
            for number in range(limits.get("MaxNumberOfTrainingJobs") or 1):
                while not room.acquire(timeout=0.05):
                    run.check_stop()
                run.check_stop()
                trial = self._start(run.id, given, number, dice)
                thread = threading.Thread(target=self._wait, args=(trial, room), daemon=True)
                thread.start()
                threads.append(thread)
            for thread in threads:
                thread.join()
        run.check_stop()
        told = [self._summary(run.id, *trial) for trial in self._trials[run.id]]
        if not any(each["FinalHyperParameterTuningJobObjectiveMetric"] for each in told):
            raise JobFailure("All training jobs failed, or none reported the objective metric")

    def _start(self, name: str, given: Parameters, number: int, dice: random.Random) -> str:
        definition = given["TrainingJobDefinition"]
        tuned = {}
        ranges = given["HyperParameterTuningJobConfig"].get("ParameterRanges") or {}
        for each in ranges.get("IntegerParameterRanges") or ():
            tuned[each["Name"]] = str(dice.randint(int(each["MinValue"]), int(each["MaxValue"])))
        for each in ranges.get("ContinuousParameterRanges") or ():
            tuned[each["Name"]] = repr(dice.uniform(float(each["MinValue"]), float(each["MaxValue"])))
        trial = f"{name}-{number + 1:03}-{dice.getrandbits(32):08x}"
        parts = {
            key: value for key, value in definition.items() if key not in ("StaticHyperParameters", "DefinitionName")
        }
        objective = given["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["MetricName"]
        static = definition.get("StaticHyperParameters") or {}
        hyperparameters = {**static, **tuned, "_tuning_objective_metric": f'"{objective}"'}
        self._training.create_training_job({**parts, "TrainingJobName": trial, "HyperParameters": hyperparameters})
        self._trials[name].append((trial, tuned))
        return trial

    def _wait(self, trial: str, room: threading.Semaphore) -> None:
        self._training.found(trial)[0].done.wait()
        room.release()

    def _stop_trials(self, name: str) -> None:
        for trial, _ in self._trials[name]:
            self._jobs.stop(self._training.found(trial)[0])

    def _summary(self, tuning: str, name: str, tuned: dict[str, str]) -> Parameters:
        told = self._training.describe_training_job({"TrainingJobName": name})
        config = self.found(tuning)[1]["HyperParameterTuningJobConfig"]
        objective = config["HyperParameterTuningJobObjective"]
        values = {each["MetricName"]: each["Value"] for each in told["FinalMetricDataList"]}
        metric = None
        if objective["MetricName"] in values and told["TrainingJobStatus"] != "Failed":
            metric = {**objective, "Value": values[objective["MetricName"]]}
        return {
            "TrainingJobName": name,
            "TrainingJobArn": arn("training-job", name),
            "CreationTime": told["CreationTime"],
            "TrainingStartTime": told["TrainingStartTime"],
            "TrainingEndTime": told["TrainingEndTime"],
            "TrainingJobStatus": told["TrainingJobStatus"],
            "TunedHyperParameters": tuned,
            "FailureReason": told["FailureReason"],
            "FinalHyperParameterTuningJobObjectiveMetric": metric,
        }
