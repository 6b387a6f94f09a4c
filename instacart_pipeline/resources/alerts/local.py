"""Alerts on this machine: a log file, a line of JSON an alert."""

import fcntl
import json
from datetime import datetime, timezone
from pathlib import Path

from instacart_pipeline.resources.alerts import Alert, Alerts


class LogFileAlerts(Alerts):
    """Appends alerts to the file at `path`."""

    path: str

    def send(self, alert: Alert) -> bool:
        """See Alerts."""
        path = Path(self.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+", encoding="utf-8") as log:
            fcntl.flock(log, fcntl.LOCK_EX)
            log.seek(0)
            if any(json.loads(line)["run_id"] == alert.run_id for line in log):
                return False
            line = {"time": datetime.now(timezone.utc).isoformat(timespec="seconds"), **vars(alert)}
            log.write(json.dumps(line, ensure_ascii=False) + "\n")
            return True
