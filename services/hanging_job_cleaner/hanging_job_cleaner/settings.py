"""What hanging-job-cleaner is told."""

from estafette_common.jobs.runtimes.settings import RuntimeSettings
from estafette_common.settings import DatabaseSettings, ServiceSettings
from pydantic import Field


class Settings(RuntimeSettings, DatabaseSettings, ServiceSettings):
    """Settings of hanging-job-cleaner."""

    clean_interval: float = Field(10.0, description="Seconds between two looks.")
    clean_dry_run: bool = Field(default=False, description="Only tell what would be mended, and mend nothing.")
    grace: float = Field(40.0, description="Seconds after its last sign of life that a build without a job is lost.")
    keep_finished: float = Field(60.0, description="Seconds that the job of a build that ended is kept.")
    run_namespaces_kept: float = Field(
        7 * 24 * 60 * 60.0,
        description="Seconds after the end of a build that its own namespace is removed though its manifest waits for "
        "something else; but not where it says never.",
    )
