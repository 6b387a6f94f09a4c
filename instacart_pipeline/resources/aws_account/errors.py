"""What AWS answered when it didn't do what was asked, sorted by what can be done about it.

Belongs here: the kinds of refusal, and which code of which service is which kind. Doesn't: what a job's end means (managed_jobs/jobs.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004  # botocore's own name
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
from dagster import get_dagster_logger

from instacart_pipeline.lake.errors import PipelineError


class AwsError(PipelineError):
    """A call that AWS refused or did not answer. `code` is the service's own word for it."""

    remedy = ""

    def __init__(self, service: str, operation: str, code: str, message: str) -> None:
        """Say which call it was, the service's own words, and what to do."""
        super().__init__(f"{service} {operation}: {code}: {message}{f' {self.remedy}' if self.remedy else ''}")
        self.service, self.operation, self.code, self.message = service, operation, code, message


class AwsThrottled(AwsError):
    """Too many calls. It did not happen, and may be tried again later."""

    remedy = "AWS held the call back for too long; run again later, or ask for a higher quota."


class AwsBusy(AwsError):
    """As many jobs as may run at once are running. It did not happen, and may be tried again once one has ended."""

    remedy = "As many jobs run already as may at once; wait for one to end, or raise the service's limit."


class AwsUnavailable(AwsError):
    """No answer, or a failure inside AWS. Whether it happened is not known."""

    remedy = "AWS or the network failed; run again later."


class AwsExpired(AwsError):
    """The credentials are past their time."""

    remedy = "Renew the credentials (such as `aws sso login`), or set INSTACART_AWS_ROLE so that they renew themselves."


class AwsDenied(AwsError):
    """The credentials don't allow it."""

    remedy = "`instacart-pipeline doctor` says which permission is missing; docs/aws.md lists what each service needs."


class AwsNotFound(AwsError):
    """There is no such thing."""


class AwsConflict(AwsError):
    """Somebody else did it first, or is doing it."""


class AwsRefused(AwsError):
    """The call itself is wrong: trying again gives the same answer."""


_THROTTLED = {
    *("Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException"),
    *("TooManyRequestsException", "RequestLimitExceeded", "SlowDown", "503 SlowDown", "BandwidthLimitExceeded"),
    *("PriorRequestNotComplete", "LimitExceededException", "ProvisionedThroughputExceededException"),
    *("KMSThrottlingException", "ProvisionedThroughputExceeded"),
}
_BUSY = {
    *("ConcurrentRunsExceededException", "ResourceNumberLimitExceededException", "ServiceQuotaExceededException"),
    *("CrawlerRunningException", "CrawlerStoppingException", "ResourceLimitExceeded"),
    *("ActiveStatementsExceededException", "ActiveSessionsExceededException"),
}
_UNAVAILABLE = {
    "ModelNotReadyException",
    "OperationTimeoutException",
    "FederationSourceRetryableException",
    "RequestTimeout",
    "ContinuousBackupsUnavailableException",
}
"""Codes that say no more than a failing server does, although they come as if the call were at fault."""
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
_DENIED = {
    *("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized", "AuthorizationError"),
    *("UnrecognizedClientException", "InvalidClientTokenId", "SignatureDoesNotMatch", "AllAccessDisabled"),
    *("InvalidAccessKeyId", "IncompleteSignature", "MissingAuthenticationToken", "AuthorizationErrorException"),
}
_NOT_FOUND = {
    *("EntityNotFoundException", "ResourceNotFoundException", "NotFound", "NoSuchKey", "NoSuchBucket", "404"),
    *("QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", "NotFoundException", "ResourceNotFound"),
}
_CONFLICT = {
    *("AlreadyExistsException", "ConflictException", "PreconditionFailed", "412", "ConditionalRequestConflict"),
    *("ConcurrentModificationException", "CrawlerNotRunningException", "ResourceInUse"),
    *("ConditionalCheckFailedException", "ResourceInUseException", "TransactionConflictException"),
}
_TOO_MANY_QUERIES = "CONCURRENT_QUERY_LIMIT_EXCEEDED"
"""Athena's reason for a TooManyRequestsException that is about queries under way, and not about calls."""
_SAGEMAKER_WORDS: tuple[tuple[str, type[AwsError]], ...] = (
    (r"(?i)not found|could not find|does not exist", AwsNotFound),
    (r"(?i)already exist|must be unique within", AwsConflict),
    (r"(?i)cannot (update|delete) in-progress endpoint", AwsBusy),
)
"""SageMaker says most things by a ValidationException, whose text alone tells what is the matter."""
_NO_CREDENTIALS = (
    *(NoCredentialsError, PartialCredentialsError, ProfileNotFound, TokenRetrievalError),
    *(CredentialRetrievalError, SSOError),
)
_FIRST_SERVER_ERROR = 500


def translated(service: str, operation: str, error: ClientError | BotoCoreError) -> AwsError:
    """The error as one of ours. Everything of which no kind is known counts as refused, and is never tried again."""
    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code", "unknown"))
        message = str(error.response.get("Error", {}).get("Message", ""))
        if error.response.get("Reason") == _TOO_MANY_QUERIES:
            return AwsBusy(service, operation, code, message)
        if service.startswith("sagemaker") and code in ("ValidationException", "ValidationError"):
            for words, kind in _SAGEMAKER_WORDS:
                if re.search(words, message):
                    return kind(service, operation, code, message)
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        return _kind(code, status)(service, operation, code, message)
    name, message = type(error).__name__, str(error)
    if isinstance(error, _NO_CREDENTIALS):
        return AwsDenied(service, operation, name, message)
    if isinstance(error, (ConnectionError, HTTPClientError, IncompleteReadError)):
        return AwsUnavailable(service, operation, name, message)
    if isinstance(error, NoRegionError):
        message = f"{message} Set INSTACART_AWS_REGION."
    return AwsRefused(service, operation, name, message)


def _kind(code: str, status: int) -> type[AwsError]:
    kinds: tuple[tuple[set[str], type[AwsError]], ...] = (
        (_THROTTLED, AwsThrottled),
        (_BUSY, AwsBusy),
        (_UNAVAILABLE, AwsUnavailable),
        (_EXPIRED, AwsExpired),
        (_DENIED, AwsDenied),
        (_NOT_FOUND, AwsNotFound),
        (_CONFLICT, AwsConflict),
    )
    for codes, kind in kinds:
        if code in codes:
            return kind
    return AwsUnavailable if status >= _FIRST_SERVER_ERROR else AwsRefused


@contextmanager
def log_cleanup_errors(what: str) -> Iterator[None]:
    """A block that removes `what`. If AWS refuses, that is logged: it hides neither a result nor the error that led here."""
    try:
        yield
    except AwsError as error:
        get_dagster_logger().warning(f"{what} stays behind: {error}")
