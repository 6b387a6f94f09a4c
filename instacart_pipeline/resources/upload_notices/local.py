"""Notices of uploads on this machine: there are none. The raw zone is near enough to be looked at itself."""

from collections.abc import Sequence

from instacart_pipeline.resources.upload_notices import Notice, UploadNotices


class NoUploadNotices(UploadNotices):
    """Gives none."""

    @property
    def gives_notices(self) -> bool:
        """See UploadNotices."""
        return False

    def receive(self, most: int) -> Sequence[Notice]:
        """See UploadNotices."""
        del most
        return ()

    def forget(self, receipts: Sequence[str]) -> None:
        """See UploadNotices."""
        del receipts
