"""The transport that Celery is told to use."""

from kombu.transport import SQS

from app.engine.broker.channel import Channel


class Transport(SQS.Transport):
    """kombu's SQS transport with our channel. Any Celery program can use it: ``broker_transport="app.engine.broker.transport:Transport"``."""

    Channel = Channel
