"""The API on an archive in memory, asked as a browser would; jobs are run by a worker in the same process."""

from pathlib import Path
from typing import Any

from api import create_app
from BDD import store
from rano.history import Rules
from services.runner import Worker
from settings import load_settings
from tests import factory
from tests.jobs_factory import MemoryArchive, PredictorStub

MR = factory.series_datasets()
STUDY, SERIES = str(MR[0].StudyInstanceUID), str(MR[0].SeriesInstanceUID)


class ApiSite:
    """An API, its database and queue in a temporary folder, and a worker that runs when told to."""

    def __init__(self, folder: Path, archive: MemoryArchive | None = None, **environ: str) -> None:
        self.settings = load_settings({"VAR_DIR": str(folder), "MODEL_PATH": str(folder / "none")} | environ, None)
        self.archive = archive if archive is not None else MemoryArchive(*MR)
        self.app = create_app(self.settings, archive=lambda _: self.archive)
        self.client = self.app.test_client()
        self.database = store.open_database(self.settings.database_url)
        self.predictor: Any = PredictorStub()
        self.number = store.worker_started(self.database, pid=1)
        self.worker = Worker(
            self.database,
            self.settings.queue_url,
            self.archive,
            lambda _: self.predictor,
            self.number,
            (0.0,),
            Rules(target_rule=self.settings.rano_target_rule),
        )

    def work(self) -> None:
        """Run everything in the queue."""
        huey = self.worker.queue.huey
        while (task := huey.dequeue()) is not None:
            huey.execute(task)

    def post(self, query: str = "", **body: Any) -> Any:
        """Ask for the segmentation of the study."""
        return self.client.post(f"/segment{query}", json={"StudyInstanceUID": STUDY} | body)

    def close(self) -> None:
        """Close what is open."""
        self.worker.queue.close()
        self.database.dispose()
