"""What the service is made of. Nothing here does I/O."""

from aiohttp import web
from estafette_common import service
from estafette_common.bus.bus import Bus
from estafette_common.database.pool import Database
from estafette_common.jobs.runtimes.settings import create_runtime

from hanging_job_cleaner.builds import Builds
from hanging_job_cleaner.cleaner import Cleaner, Surroundings
from hanging_job_cleaner.reconciling import Limits
from hanging_job_cleaner.requests import SOURCE, Requests
from hanging_job_cleaner.settings import Settings


def create_app(settings: Settings) -> web.Application:
    """Return the application."""
    database = Database(settings.database_url, connections=settings.database_connections)
    bus = Bus(
        settings.nats_url,
        source=SOURCE,
        credentials=settings.nats_credentials,
        grace=settings.shutdown_grace,
    )
    limits = Limits(
        grace=settings.grace, keep_finished=settings.keep_finished, keep_namespaces=settings.run_namespaces_kept
    )
    cleaner = Cleaner(
        Builds(database),
        create_runtime(settings),
        Requests(bus),
        bus,
        cluster=_cluster(settings),
        limits=limits,
        interval=settings.clean_interval,
        dry_run=settings.clean_dry_run,
    )
    return service.application(database, bus, cleaner)


def _cluster(settings: Settings) -> Surroundings | None:
    """Return where jobs leave things. The client of Kubernetes is imported only then: it takes 70 MB."""
    if settings.runtime != "kubernetes":
        return None
    from estafette_common.jobs.runtimes.namespaces_api import ClusterApi  # noqa: PLC0415  see above

    from hanging_job_cleaner.kubernetes import Cluster  # noqa: PLC0415  see above
    from hanging_job_cleaner.namespaces import Namespaces  # noqa: PLC0415  see above

    api, home = ClusterApi(), settings.kubernetes_namespace
    return Cluster(api, home, runs=Namespaces(api, home) if settings.run_namespaces else None)
