"""What several views of this process read, each at most once a second."""

from datetime import UTC, datetime

from app.engine.conf import engine_settings
from app.engine.shared_reading import SharedReading
from app.engine.workers.registry import read_workers

workers_reading = SharedReading(lambda: read_workers(engine_settings(), datetime.now(UTC)))
