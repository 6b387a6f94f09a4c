"""The command doctor as tests call it: in this process, under settings of their own."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass

import pytest

from instacart_pipeline.cli.commands import main

SECRET, TOKEN = "wJalrXUtnFEMI/K7MDENG/bPxRfiCY", "FwoGZXIvYXdzEJr"  # made up
"""Credentials that no output may show."""


@dataclass(frozen=True)
class DoctorReport:
    """What doctor said: each finding's fields, its output and the code it ended with."""

    code: int
    out: str
    err: str

    @property
    def findings(self) -> list[dict[str, str]]:
        found: list[dict[str, str]] = json.loads(self.out)["findings"]
        return found

    def of(self, service: str) -> list[dict[str, str]]:
        """The findings about one service that aren't well."""
        return [each for each in self.findings if each["service"] == service and each["health"] != "ok"]

    @property
    def health(self) -> dict[str, str]:
        """By service, the worst that was found."""
        order = ("bad", "note", "ok")
        services = {each["service"] for each in self.findings}
        return {
            name: min((each["health"] for each in self.findings if each["service"] == name), key=order.index)
            for name in services
        }


@dataclass(frozen=True)
class Doctor:
    """The command, under settings that a test changes."""

    settings: dict[str, str]
    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch

    def __call__(self, *arguments: str, **changes: str) -> DoctorReport:
        with self.monkeypatch.context() as environment:
            for name in [name for name in os.environ if name.startswith("INSTACART_")]:
                environment.delenv(name)
            for name, value in {**self.settings, **changes}.items():
                environment.setenv(f"INSTACART_{name.upper()}", value)
            environment.setattr(sys, "argv", ["instacart-pipeline", "doctor", *arguments])
            self.capsys.readouterr()
            with pytest.raises(SystemExit) as ended:
                main()
        out, err = self.capsys.readouterr()
        assert SECRET not in out + err
        assert TOKEN not in out + err
        return DoctorReport(int(ended.value.code or 0), out, err)

    def json(self, **changes: str) -> DoctorReport:
        return self("--json", **changes)


def bad(told: DoctorReport) -> set[str]:
    """The services of which something is bad."""
    return {service for service, health in told.health.items() if health == "bad"}
