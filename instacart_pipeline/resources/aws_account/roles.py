"""Assuming a role whose credentials renew themselves, by botocore's own machinery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.credentials import AssumeRoleCredentialFetcher, CredentialProvider, DeferredRefreshableCredentials

if TYPE_CHECKING:
    import boto3


class AssumedRole(CredentialProvider):  # type: ignore[misc]  # botocore carries no types
    """Gives the credentials of `role`, assumed with those of `session`."""

    METHOD = "instacart-assumed-role"
    CANONICAL_NAME = None

    def __init__(self, session: boto3.session.Session, role: str, endpoint: str | None) -> None:
        self._session, self._role, self._endpoint = session, role, endpoint

    def load(self) -> Any:
        """Credentials that are fetched when first needed, and again before they expire; None without any to fetch them with."""
        own = self._session
        if own.get_credentials() is None:
            return None

        def sts(service: str, **options: Any) -> Any:
            return own.client(service, endpoint_url=self._endpoint, **options)

        fetcher = AssumeRoleCredentialFetcher(
            client_creator=sts,
            source_credentials=own.get_credentials(),
            role_arn=self._role,
            extra_args={"RoleSessionName": "instacart_pipeline"},
        )
        return DeferredRefreshableCredentials(method=self.METHOD, refresh_using=fetcher.fetch_credentials)
