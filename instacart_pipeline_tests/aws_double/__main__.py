"""The double by itself, to try the profile aws on without an account: `python -m instacart_pipeline_tests.aws_double`."""

from __future__ import annotations

import signal
import sys

from instacart_pipeline_tests.aws_double.server import REGION, AwsDouble

_SETTINGS = {
    "INSTACART_PROFILE": "aws",
    "INSTACART_LAKE": "s3://lake",
    "INSTACART_SERVICE_ROLE": "arn:aws:iam::123456789012:role/instacart-services",
    "INSTACART_MODEL_IMAGE": f"492215442770.dkr.ecr.{REGION}.amazonaws.com/sagemaker-xgboost:3.2-0",
    "INSTACART_POLL_SECONDS": "0.2",
}


def main() -> None:
    """Serve until Ctrl-C; everything is forgotten then."""
    with AwsDouble() as double:
        double.client("s3").create_bucket(Bucket="lake", CreateBucketConfiguration={"LocationConstraint": REGION})
        settings = {**double.environment(), **_SETTINGS, "INSTACART_AWS_ENDPOINT": double.endpoint}
        lines = ["# An AWS of its own, with an empty bucket. In another terminal:"]
        lines += [f"export {name}={value}" for name, value in settings.items()]
        lines += ["instacart-pipeline deploy --apply && instacart-pipeline doctor", "# Ctrl-C here ends it."]
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()
        signal.sigwait([signal.SIGINT, signal.SIGTERM])


if __name__ == "__main__":
    main()
