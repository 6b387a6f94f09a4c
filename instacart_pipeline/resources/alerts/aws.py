"""Alerts through SNS."""

import uuid

from dagster import ResourceDependency, get_dagster_logger

from instacart_pipeline.lake.zones import Zones
from instacart_pipeline.resources.alerts import Alert, Alerts, AlertUnderWay
from instacart_pipeline.resources.aws_account.errors import AwsError
from instacart_pipeline.resources.aws_account.objects import Held, Objects
from instacart_pipeline.resources.aws_account.session import AwsSession

CLAIM_SECONDS = 120
"""A claim older than this, by S3's own clock, has lost its holder: publishing is tried once, which takes 40 s at most."""
MOST_BYTES = 256 * 1024
"""The largest message that SNS takes."""
_SUBJECT = 100


class SnsAlerts(Alerts):
    """Publishes alerts to the topic with the ARN `topic`; without one they are only logged.

    Once a run, among any number of processes: whoever writes the run's claim, an object in the work zone of the lake at
    `lake`, publishes. If publishing fails the claim is given back and the error raised. A process that dies in between
    leaves its claim; for CLAIM_SECONDS others are told AlertUnderWay, and then the next one takes the claim over. So if it
    died after publishing but before noting so, the alert comes twice; it is never lost to whoever asks again.
    """

    session: ResourceDependency[AwsSession]
    topic: str
    lake: str

    def send(self, alert: Alert) -> bool:
        """See Alerts."""
        if not self.topic:
            get_dagster_logger().error(f"{subject_of(alert)}\n{text_of(alert)}")
            return False
        objects, uri = Objects(self.session), f"{Zones(self.lake).zone('work')}/alerts/{alert.run_id}.json"
        claim = self._claim(objects, uri)
        if claim is None:
            return False
        try:
            self.session.call(
                "sns", "publish", once=True, TopicArn=self.topic, Subject=subject_of(alert), Message=text_of(alert)
            )
        except BaseException:
            _note(objects, uri, claim, "not sent")
            raise
        _note(objects, uri, claim, "sent")
        return True

    def _claim(self, objects: Objects, uri: str) -> Held | None:
        """The claim, if it was free; None if the alert was sent. Raises AlertUnderWay if somebody else holds it."""
        held = objects.held(uri)
        state = held.content["state"] if held else "not sent"
        if state == "sent":
            return None
        if held is None or state == "not sent" or held.age > CLAIM_SECONDS:
            content = {"state": "sending", "by": uuid.uuid4().hex}
            if etag := objects.swap(uri, content, held):
                return Held(content, etag, 0.0)
        raise AlertUnderWay(f"Another process is sending this alert: {uri}. Whether it did shows in {CLAIM_SECONDS} s.")


def _note(objects: Objects, uri: str, claim: Held, state: str) -> None:
    """Say in the claim what came of it, if it is still one's own."""
    try:
        objects.swap(uri, {**claim.content, "state": state}, claim)
    except AwsError as error:
        get_dagster_logger().warning(f"That the alert is {state} can't be noted at {uri}: {error}")


def subject_of(alert: Alert) -> str:
    """One line of at most 100 ASCII characters, as SNS demands of a subject."""
    line = " ".join((alert.title or f"Failed: {alert.job} {alert.dt}").split()).encode("ascii", "replace").decode()
    return line if len(line) <= _SUBJECT else f"{line[: _SUBJECT - 3]}..."


def text_of(alert: Alert) -> str:
    """What people read: the job, the day, where to look, and the error, or what else there is to say; cut if SNS would not take it all."""
    head = f"The job {alert.job} failed{f' for {alert.dt}' if alert.dt else ''}.\nRun: {alert.link or alert.run_id}\n\n"
    if alert.title:
        head = f"{alert.title}.\n{alert.link}\n\n"
    error = alert.error.encode(errors="replace")
    room = MOST_BYTES - len(head.encode()) - _SUBJECT - 200
    if len(error) <= room:
        return head + error.decode()
    cut = error[:room].decode(errors="ignore")
    return (
        f"{head}{cut}\n\n(Cut here: the error has {len(error):,} bytes, more than SNS takes. The run shows all of it.)"
    )
