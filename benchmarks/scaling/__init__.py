"""How the ways to scale workers behave: a simulator of a queue, ECS and Application Auto Scaling, and what it found.

Promise: every policy meets the same jobs, starts and delays; ours runs ``app.topology.scaling``, the module that the sensor and the alarms
use. The same seed gives the same result. A task, here, is ECS's: a copy of a service.
Limit: AWS is a model here (``world.py``, ``alarms.py`` say which), calibrated by its documentation and not by an account. Compare ratios,
not seconds.
Use: ``python -m benchmarks.scaling --help``; docs/how-to/tune-scaling.md asks it about your own numbers.
"""
