"""The transport that Celery is told to use."""

from typing import Any

from kombu.transport import SQS

from app.engine.broker.channel import Channel
from app.engine.broker.concurrency import check_concurrency
from app.engine.broker.lost_leases import lost_leases
from app.engine.broker.options import BrokerOptions
from app.engine.broker.worker_link import ready_worker


class Transport(SQS.Transport):
    """kombu's SQS transport with our channel. Any Celery program can use it: ``broker_transport="app.engine.broker.transport:Transport"``.

    Raises :class:`~app.engine.broker.errors.BrokerMisconfigured` for options that cannot work, and in a process of eventlet's.
    """

    Channel = Channel
    #: Between empty polls of a program without an event loop. SQS's long poll is the pause.
    polling_interval = 0

    def __init__(self, client: Any, **kwargs: Any) -> None:
        check_concurrency()
        super().__init__(client, **kwargs)
        self.options = BrokerOptions.read(client.transport_options)
        # Before the pool forks, so that children see the same board, and before the worker is ready.
        lost_leases()
        ready_worker()
