"""What Fargate rents out, and how it is asked to look after a task."""

from datetime import timedelta

_GIBIBYTE = 1024
#: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-cpu-memory-error.html: memory in MiB by CPU units.
_SIZES: dict[int, tuple[int, ...]] = {
    256: (512, _GIBIBYTE, 2 * _GIBIBYTE),
    512: tuple(range(_GIBIBYTE, 4 * _GIBIBYTE + 1, _GIBIBYTE)),
    1024: tuple(range(2 * _GIBIBYTE, 8 * _GIBIBYTE + 1, _GIBIBYTE)),
    2048: tuple(range(4 * _GIBIBYTE, 16 * _GIBIBYTE + 1, _GIBIBYTE)),
    4096: tuple(range(8 * _GIBIBYTE, 30 * _GIBIBYTE + 1, _GIBIBYTE)),
    8192: tuple(range(16 * _GIBIBYTE, 60 * _GIBIBYTE + 1, 4 * _GIBIBYTE)),
    16384: tuple(range(32 * _GIBIBYTE, 120 * _GIBIBYTE + 1, 8 * _GIBIBYTE)),
}
#: Each container is asked so often whether its loop turns, may take so long to answer, and is replaced after so many bad answers.
PROBE_INTERVAL = timedelta(seconds=30)
PROBE_TIMEOUT = timedelta(seconds=15)
PROBE_RETRIES = 3
#: All that a container may write to; its root is read-only. The image makes them, with their owner.
WRITABLE_DIRECTORIES = ("/tmp", "/run/millrace")  # noqa: S108 — a volume of one container
#: A capacity provider's share; spot weights are counted in these.
ON_DEMAND_WEIGHT = 1
MOST_WEIGHT = 1000


def problem_of_size(cpu_units: int, memory_mib: int) -> str:
    """What Fargate would say to it, in words; empty if it takes it."""
    if cpu_units not in _SIZES:
        return f"cpu_units: Fargate has {', '.join(map(str, _SIZES))}, got {cpu_units}"
    if memory_mib not in _SIZES[cpu_units]:
        return f"memory_mib: with {cpu_units} CPU units Fargate has {', '.join(map(str, _SIZES[cpu_units]))} MiB, got {memory_mib}"
    return ""
