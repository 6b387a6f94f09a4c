"""The project's own errors: each says what happened, where, and what to do now.

Belongs here: every exception a user may see. An error's text is complete by itself: nobody needs the stack to act.
"""


class PipelineError(Exception):
    """Base of every error this project raises on purpose. The command line prints its text and exits 1."""


class SettingsInvalid(PipelineError):
    """The environment holds a value that can't be used."""


class InputInvalid(PipelineError):
    """What was uploaded can't be read as what it should be."""


class UploadIncomplete(InputInvalid):
    """A table of a day's upload is missing."""


class UploadChanged(InputInvalid):
    """A file of the upload was replaced or grew while it was being read."""


class ColumnsMissing(InputInvalid):
    """A file lacks columns of its table's contract."""


class FileUnreadable(InputInvalid):
    """A file is empty, cut short, or not UTF-8."""


class ContractViolated(PipelineError):
    """A table that was just written breaks its own contract; it was not published."""


class TableNotFound(PipelineError):
    """The catalog has no such database, table or partition."""


class ArtefactNotFound(PipelineError):
    """Nothing was published under that name for that day."""


class UnsupportedSql(PipelineError):
    """A statement steps outside the portable subset of Athena SQL."""


class UnsupportedStep(PipelineError):
    """A DataBrew recipe holds an operation, parameter or condition that can't be run."""


class JobFailed(PipelineError):
    """A service's job ended in failure; carries the service's own reason and the end of its log."""
