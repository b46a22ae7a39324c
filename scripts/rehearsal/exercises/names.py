"""What exercises are called."""

from app.topology import QueuePolicy


def task_name(queue: QueuePolicy) -> str:
    """Of the exercise that the topology sends to this queue."""
    return next(route.replace("*", "exercise") for route in queue.routes if route.endswith(".*"))
