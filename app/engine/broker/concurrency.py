"""Which kinds of threads a program may have: the real ones, and gevent's greenlets. Not eventlet's."""

from kombu.utils.compat import detect_environment

from app.engine.broker.errors import BrokerMisconfigured


def check_concurrency() -> None:
    """Raises :class:`~app.engine.broker.errors.BrokerMisconfigured` in a process that eventlet has patched.

    There each long poll would stop the whole process, for up to 20 seconds, and every job with it.
    """
    if detect_environment() == "eventlet":
        raise BrokerMisconfigured("The SQS transport does not work with eventlet. Use -P gevent, threads, prefork or solo.")
