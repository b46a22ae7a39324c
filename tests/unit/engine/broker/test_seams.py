"""The names of kombu and Celery that we override or lean on. An upgrade that moves one fails here, and says whom to read."""

import ast
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import boto3
import pytest
from celery import Celery, current_app
from greenlet import GreenletExit
from kombu.asynchronous import Hub, set_event_loop
from kombu.transport.virtual import QoS

REPOSITORY = Path(__file__).resolve().parents[4]
ENGINE = "app/engine"

#: kombu's SQS transport
CHANNEL = "kombu.transport.SQS:Channel"
BACKEND = "celery.backends.base:KeyValueStoreBackend"
TASK = "celery.app.task:Task"
STEP = "celery.bootsteps:StartStopStep"
POOL = "celery.concurrency.asynpool:AsynPool"


@dataclass(frozen=True, slots=True)
class Seam:
    path: str
    parameters: str | None
    """The names of the parameters; ``None`` for what is not a function."""
    used_in: str
    """Module under ``app/engine``."""

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2].rpartition(":")[2]

    @property
    def look(self) -> str:
        return f"{self.path} is a seam of {ENGINE}/{self.used_in}: read that module against the new version before you pin it."


SEAMS = (
    Seam(f"{CHANNEL}.__init__", "self, *args, **kwargs", "broker/channel.py"),
    Seam(f"{CHANNEL}.Message", None, "broker/channel.py"),
    Seam("kombu.transport.virtual:Message.__init__", "self, payload, channel, **kwargs", "broker/channel.py"),
    Seam("kombu.message:Message._decoded_cache", None, "broker/channel.py"),
    Seam(f"{CHANNEL}.sqs", "self, queue", "broker/channel.py"),
    Seam(f"{CHANNEL}._size", "self, queue", "broker/channel.py"),
    Seam(f"{CHANNEL}._put", "self, queue, message, **kwargs", "broker/channel.py"),
    Seam(f"{CHANNEL}._noack_queues", None, "broker/channel.py"),
    Seam(f"{CHANNEL}.conninfo", None, "broker/channel.py"),
    Seam(f"{CHANNEL}.endpoint_url", None, "broker/channel.py"),
    Seam(f"{CHANNEL}.region", None, "broker/channel.py"),
    Seam(f"{CHANNEL}.basic_consume", "self, queue, no_ack, callback, consumer_tag, *args, **kwargs", "broker/channel.py"),
    Seam(f"{CHANNEL}.basic_cancel", "self, consumer_tag", "broker/channel.py"),
    Seam(f"{CHANNEL}.basic_qos", "self, prefetch_size, prefetch_count, apply_global", "broker/channel.py"),
    Seam(f"{CHANNEL}.basic_ack", "self, delivery_tag, multiple", "broker/channel.py"),
    Seam(f"{CHANNEL}.basic_reject", "self, delivery_tag, requeue", "broker/channel.py"),
    Seam(f"{CHANNEL}.drain_events", "self, timeout, callback, **kwargs", "broker/channel.py"),
    Seam(f"{CHANNEL}.close", "self", "broker/channel.py"),
    Seam(f"{CHANNEL}.body_encoding", None, "broker/channel.py"),
    Seam("kombu.transport.virtual:Channel.basic_consume", "self, queue, no_ack, callback, consumer_tag, **kwargs", "broker/channel.py"),
    Seam("kombu.transport.virtual:QoS.restore_unacked_once", "self, stderr", "broker/channel.py"),
    Seam("kombu.transport.virtual:QoS._flush", "self", "broker/channel.py"),
    Seam("kombu.transport.virtual:QoS.ack", "self, delivery_tag", "broker/channel.py"),
    Seam("kombu.transport.virtual:QoS.prefetch_count", None, "broker/channel.py"),
    Seam(f"{CHANNEL}.QoS", None, "broker/channel.py"),
    Seam(f"{CHANNEL}.qos", None, "broker/channel.py"),
    Seam("kombu.transport.SQS:Transport.Channel", None, "broker/transport.py"),
    Seam("kombu.transport.SQS:Transport.__init__", "self, client, **kwargs", "broker/transport.py"),
    Seam("kombu.transport.SQS:Transport.polling_interval", None, "broker/transport.py"),
    Seam("kombu.asynchronous.hub:Hub.add_reader", "self, fds, callback, *args", "broker/wakeup.py"),
    Seam("kombu.asynchronous.hub:Hub.remove_reader", "self, fd", "broker/wakeup.py"),
    Seam("kombu.utils.json:JSONEncoder", None, "broker/envelope.py"),
    Seam("billiard.pool:soft_timeout_sighandler", "signum, frame", "soft_limit.py"),
    Seam("billiard.pool:SIG_SOFT_TIMEOUT", None, "soft_limit.py"),
    Seam("kombu.utils.compat:detect_environment", "", "aws/wire/greenlets.py"),
    Seam("kombu.utils.json:object_hook", "o", "broker/json_text.py"),
    Seam("kombu.serialization:dumps", "data, serializer", "broker/producer.py"),
    Seam("kombu.exceptions:EncodeError", None, "broker/producer.py"),
    Seam("kombu.utils.uuid:uuid", "_uuid", "broker/bulk.py"),
    Seam("kombu:Connection.transport_options", None, "broker/transport.py"),
    Seam("celery.canvas:Signature.TYPES", None, "broker/signatures.py"),
    Seam("celery.utils.time:maybe_iso8601", "dt", "broker/headers.py"),
    Seam("celery.app.task:Context", None, "broker/headers.py"),
    Seam("celery.app.task:Context", None, "broker/worker_link.py"),
    Seam("celery.exceptions:NotRegistered", None, "broker/consumption.py"),
    Seam("celery.concurrency.base:BasePool.num_processes", None, "broker/worker_link.py"),
    Seam("celery.worker.request:Request.time_limits", None, "broker/worker_link.py"),
    Seam("celery.worker.request:Request.time_start", None, "broker/worker_link.py"),
    Seam("celery.worker.request:Request.message", None, "broker/worker_link.py"),
    Seam("celery.worker.request:Request.task", None, "broker/worker_link.py"),
    Seam(
        "celery.backends.base:Backend.mark_as_failure",
        "self, task_id, exc, traceback, request, store_result, call_errbacks, state",
        "broker/worker_link.py",
    ),
    Seam(f"{POOL}.flush", "self", "broker/pool_ending.py"),
    Seam(f"{POOL}._flush_writer", "self, proc, writer", "broker/pool_ending.py"),
    Seam("billiard.pool:CLOSE", None, "broker/pool_ending.py"),
    Seam("billiard.pool:ApplyResult.discard", "self", "broker/pool_ending.py"),
    Seam("billiard.pool:ApplyResult._write_to", None, "broker/pool_ending.py"),
    Seam("celery.worker.state:should_terminate", None, "broker/pool_ending.py"),
    Seam("celery.signals:worker_ready", None, "broker/worker_link.py"),
    Seam("celery.signals:worker_shutting_down", None, "broker/worker_link.py"),
    Seam("celery.worker.state:requests", None, "broker/worker_link.py"),
    Seam("celery.worker.request:Request.on_failure", "self, exc_info, send_failed_event, return_ok", "broker/request.py"),
    Seam("celery.worker.request:Request.on_timeout", "self, soft, timeout", "broker/request.py"),
    Seam("celery.worker.request:Request.cancel", "self, pool, signal, emit_retry", "broker/request.py"),
    Seam("celery.concurrency.base:BasePool.is_green", None, "broker/request.py"),
    Seam("celery.worker.request:Request.acknowledge", "self", "broker/request.py"),
    Seam("celery.worker.request:Request.reject", "self, requeue", "broker/request.py"),
    Seam("celery.worker.request:Request.acknowledged", None, "broker/request.py"),
    Seam("celery.worker.request:Request.message", None, "broker/request.py"),
    Seam("celery.worker.request:Request._request_dict", None, "broker/request.py"),
    Seam("billiard.einfo:ExceptionWithTraceback", None, "broker/request.py"),
    Seam("billiard.exceptions:TimeLimitExceeded", None, "broker/request.py"),
    Seam("billiard.exceptions:WorkerLostError", None, "broker/request.py"),
    Seam("celery.exceptions:Ignore", None, "broker/request.py"),
    Seam("celery.exceptions:Reject", None, "broker/request.py"),
    Seam("celery.exceptions:Retry", None, "broker/request.py"),
    Seam("celery:Celery.producer_or_acquire", "self, producer", "broker/program.py"),
    Seam("celery:Celery.connection_for_write", "self, url, **kwargs", "broker/program.py"),
    Seam("celery.signals:before_task_publish", None, "broker/bulk.py"),
    Seam("celery.signals:after_task_publish", None, "broker/bulk.py"),
    Seam("celery.app.routes:Router.route", "self, options, name, args, kwargs, task_type", "broker/bulk.py"),
    Seam("celery:Celery.current_worker_task", None, "broker/bulk.py"),
    Seam("celery.utils.nodenames:anon_nodename", "hostname, prefix", "broker/bulk.py"),
    Seam("celery.app.amqp:AMQP.router", None, "broker/bulk.py"),
    Seam("botocore.httpsession:get_cert_path", "verify", "aws/wire/connection.py"),
    Seam("botocore.httpsession:DEFAULT_CA_BUNDLE", None, "aws/wire/connection.py"),
    Seam(f"{BACKEND}._store_result", "self, task_id, result, state, traceback, request, **kwargs", "ledger/backend.py"),
    Seam(f"{BACKEND}._get_result_meta", "self, result, state, traceback, request, format_date, encode", "ledger/backend.py"),
    Seam(f"{BACKEND}.get_key_for_task", "self, task_id, key", "ledger/backend.py"),
    Seam(f"{BACKEND}.encode", "self, data", "ledger/backend.py"),
    Seam(f"{BACKEND}.exception_safe_to_retry", "self, exc", "ledger/backend.py"),
    Seam(f"{BACKEND}.get", "self, key", "ledger/backend.py"),
    Seam(f"{BACKEND}.mget", "self, keys", "ledger/backend.py"),
    Seam(f"{BACKEND}.set", "self, key, value", "ledger/backend.py"),
    Seam(f"{BACKEND}.delete", "self, key", "ledger/backend.py"),
    Seam(f"{BACKEND}.on_chord_part_return", "self, request, state, result, **kwargs", "ledger/backend.py"),
    Seam(f"{BACKEND}.expire", "self, key, value", "ledger/backend.py"),
    Seam(f"{BACKEND}.key_t", None, "ledger/backend.py"),
    Seam(f"{BACKEND}.implements_incr", None, "ledger/backend.py"),
    Seam(f"{BACKEND}.supports_native_join", None, "ledger/backend.py"),
    Seam(f"{BACKEND}.supports_autoexpire", None, "ledger/backend.py"),
    Seam(f"{BACKEND}.persistent", None, "ledger/backend.py"),
    Seam("celery.worker.request:Request.request_dict", None, "ledger/records.py"),
    Seam("celery.worker.request:Request.delivery_info", None, "ledger/records.py"),
    Seam("celery.worker.request:Request.hostname", None, "ledger/records.py"),
    Seam("celery:Celery.task_cls", None, "application.py"),
    Seam(
        "celery:Celery.send_task",
        "self, name, args, kwargs, countdown, eta, task_id, producer, connection, router, result_cls, expires, publisher, link, link_error, "
        "add_to_parent, group_id, group_index, retries, chord, reply_to, time_limit, soft_time_limit, root_id, parent_id, route_name, "
        "shadow, chain, task_type, replaced_task_nesting, **options",
        "application.py",
    ),
    Seam("celery:Celery.connection_for_write", "self, url, **kwargs", "outbox/producer.py"),
    Seam("kombu.serialization:dumps", "data, serializer", "outbox/producer.py"),
    Seam(
        "kombu.messaging:Producer.publish",
        "self, body, routing_key, delivery_mode, mandatory, immediate, priority, content_type, content_encoding, serializer, headers, "
        "compression, exchange, retry, retry_policy, declare, expiration, timeout, confirm_timeout, **properties",
        "outbox/relay.py",
    ),
    Seam("celery:Celery.producer_pool", None, "outbox/relay.py"),
    Seam(f"{TASK}.on_bound", "app", "task.py"),
    Seam(f"{TASK}.before_start", "self, task_id, args, kwargs", "task.py"),
    Seam(f"{TASK}.__call__", "self, *args, **kwargs", "task.py"),
    Seam("celery.app.task:Context._protected", None, "task.py"),
    Seam("celery.utils.time:get_exponential_backoff_interval", "factor, retries, maximum, full_jitter", "task.py"),
    Seam(f"{TASK}.retry", "self, args, kwargs, exc, throw, eta, countdown, max_retries, **options", "task.py"),
    Seam(f"{TASK}.replace", "self, sig", "task.py"),
    Seam(f"{TASK}.time_limit", None, "task.py"),
    Seam(f"{TASK}.soft_time_limit", None, "task.py"),
    Seam(f"{STEP}.__init__", "self, parent, **kwargs", "workers/heartbeat.py"),
    Seam(f"{STEP}.start", "self, parent", "workers/heartbeat.py"),
    Seam(f"{STEP}.stop", "self, parent", "workers/heartbeat.py"),
    Seam("celery.worker.consumer.tasks:Tasks", None, "workers/heartbeat.py"),
    Seam("celery.bootsteps:Blueprint.info", "self, parent", "workers/heartbeat.py"),
    Seam("celery.worker.consumer:Consumer.shutdown", "self", "workers/heartbeat.py"),
    Seam("celery.concurrency.base:BasePool.info", None, "workers/heartbeat.py"),
    Seam("celery.worker.state:active_requests", None, "workers/running.py"),
    Seam("celery.worker.state:reserved_requests", None, "workers/running.py"),
    Seam("celery.worker.request:Request.time_start", None, "workers/running.py"),
    Seam("celery.concurrency.base:BasePool.num_processes", None, "workers/heartbeat.py"),
    Seam("celery.app.amqp:Queues.consume_from", None, "workers/heartbeat.py"),
    Seam("celery:Celery.control_cls", None, "application.py"),
    Seam(
        "celery.app.control:Control.broadcast",
        "self, command, arguments, destination, connection, reply, timeout, limit, callback, channel, pattern, matcher, **extra_kwargs",
        "control/control.py",
    ),
    Seam("celery.worker.request:Request.info", "self, safe", "broker/request.py"),
    Seam("billiard.exceptions:Terminated", None, "broker/request.py"),
    Seam("celery.worker.control:Panel", None, "control/commands.py"),
    Seam("celery.worker.control:control_command", "**kwargs", "control/commands.py"),
    Seam("celery.worker.control:inspect_command", "**kwargs", "control/commands.py"),
    Seam("celery.worker.consumer:Consumer.cancel_task_queue", "self, queue", "control/commands.py"),
    Seam("celery.worker.consumer:Consumer.call_soon", "self, p, *args, **kwargs", "control/receiver.py"),
    Seam(f"{STEP}.include_if", "self, parent", "control/receiver.py"),
    Seam(f"{STEP}.info", "self, obj", "control/receiver.py"),
    Seam("celery.app.amqp:Queues.consume_from", None, "control/gate.py"),
    Seam("celery.app.amqp:Queues.select_add", "self, queue, **kwargs", "control/commands.py"),
    Seam("kombu.messaging:Consumer.cancel_by_queue", "self, queue", "control/gate.py"),
    Seam("kombu.messaging:Consumer.consuming_from", "self, queue", "control/gate.py"),
    Seam("kombu.messaging:Consumer.add_queue", "self, queue", "control/gate.py"),
    Seam("kombu.messaging:Consumer.consume", "self, no_ack", "control/gate.py"),
    Seam("kombu.matcher:match", "data, pattern, matcher, matcher_kwargs", "control/letters.py"),
    Seam("celery.worker.state:revoked", None, "control/revocations.py"),
    Seam("celery.worker.state:revoked_stamps", None, "control/revocations.py"),
    Seam("celery.worker.state:requests", None, "control/revocations.py"),
    Seam("celery.worker.request:Request.terminate", "self, pool, signal", "control/revocations.py"),
    Seam("celery.worker.request:Request.stamps", None, "control/revocations.py"),
    Seam("django_celery_beat.schedulers:DatabaseScheduler.tick", "self, event_t, min, heappop, heappush", "schedules/scheduler.py"),
    Seam("django_celery_beat.schedulers:DatabaseScheduler.max_interval", None, "schedules/scheduler.py"),
    Seam("celery.app.base:Celery._load_config", "self", "broker/program.py"),
    Seam("celery.app.utils:Settings.__getitem__", "self, key", "broker/quick_settings.py"),
    Seam("celery.app.utils:Settings._to_keys", "self, key", "broker/quick_settings.py"),
    Seam("celery.signals:setup_logging", None, "logs/tasks.py"),
    Seam("celery.signals:task_prerun", None, "logs/tasks.py"),
    Seam("celery.signals:task_postrun", None, "logs/tasks.py"),
    Seam("celery.signals:task_retry", None, "metrics/recorder.py"),
    Seam("celery.signals:task_failure", None, "metrics/recorder.py"),
)


def found(seam: Seam) -> Any:
    module, _, names = seam.path.partition(":")
    try:
        value: Any = import_module(module)
        for name in names.split("."):
            value = getattr(value, name)
    except (ImportError, AttributeError):
        pytest.fail(f"{seam.path} is gone. {seam.look}")
    return value


def parameters(function: Any) -> str:
    stars: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    return ", ".join(stars.get(one.kind, "") + one.name for one in inspect.signature(function).parameters.values())


@pytest.mark.parametrize("seam", SEAMS, ids=lambda seam: seam.path)
def test_the_seam_is_where_we_hold_on_to_it(seam: Seam) -> None:
    value = found(seam)

    if seam.parameters is not None:
        assert parameters(value) == seam.parameters, seam.look


@pytest.mark.parametrize("seam", SEAMS, ids=lambda seam: seam.path)
def test_the_module_still_uses_the_seam(seam: Seam) -> None:
    source = (REPOSITORY / ENGINE / seam.used_in).read_text()

    assert seam.name in source, f"{ENGINE}/{seam.used_in} no longer mentions {seam.name}: take the seam from this list"


def test_a_missing_or_moved_name_says_whom_to_read() -> None:
    gone = Seam(f"{CHANNEL}._loop2", "self", "broker/channel.py")

    with pytest.raises(
        pytest.fail.Exception, match=r"Channel\._loop2 is gone\. .* seam of app/engine/broker/channel\.py: read that module"
    ):
        found(gone)


# -- attributes that exist on instances only --------------------------------------------------------------------------


def test_a_channel_has_the_parts_that_we_look_at() -> None:
    hub = Hub()
    set_event_loop(hub)
    try:
        with current_app.connection_for_write() as connection:
            channel = connection.channel()
            look = "app/engine/broker/channel.py looks at it"
            assert isinstance(channel.qos, QoS), look
            assert isinstance(channel.qos._delivered, dict), look
            assert isinstance(channel.qos._dirty, set), look
            assert isinstance(channel.connection._callbacks, dict), look
            assert isinstance(channel._consumers, set), look
            assert isinstance(channel._tag_to_queue, dict), look
            assert isinstance(channel._noack_queues, set), look
            assert callable(channel.qos._on_collect.cancel), look
            assert channel.closed is False, look
            assert channel.hub is hub, look
            assert (hub.on_tick, hub._ready) == (set(), set()), "app/engine/broker/wakeup.py looks at them"
            assert channel.connection.polling_interval == 0, "app/engine/broker/transport.py sets it"
            assert channel.predefined_queues, "app/engine/broker/settings.py sets it by broker_transport_options"
            channel.close()
    finally:
        hub.close()
        set_event_loop(None)


#: Private names that only instances have, and the object of which the tests above and below show that it has them.
ON_INSTANCES = {
    "_callbacks": "kombu's virtual transport",
    "_consumers": "kombu's channel",
    "_tag_to_queue": "kombu's channel",
    "_delivered": "kombu's account of deliveries",
    "_on_collect": "kombu's account of deliveries",
    "_ready": "kombu's event loop",
    "_pool": "Celery's pool and billiard's",
    "_state": "billiard's pool",
    "_cache": "billiard's pool",
    "_popen": "billiard's process",
    "_accepted": "billiard's job",
    "_writer": "Celery's event loop for a pool, on billiard's job",
    "_credentials": "botocore's signer",
    "_endpoint": "botocore's client",
    "_request_signer": "botocore's client",
    "_verify": "botocore's HTTP session",
    "_keys": "Celery's settings",
}


@pytest.mark.parametrize(
    "module",
    sorted(
        path.relative_to(REPOSITORY / ENGINE).as_posix()
        for room in ("broker", "aws")
        for path in (REPOSITORY / ENGINE / room).rglob("*.py")
    ),
)
def test_no_private_name_of_somebody_else_s_is_used_that_is_not_on_these_lists(module: str) -> None:
    used = {
        node.attr for node in ast.walk(_tree(REPOSITORY / ENGINE / module)) if isinstance(node, ast.Attribute) and _is_private(node.attr)
    }
    ours = {name for path in (REPOSITORY / ENGINE / module).parent.glob("*.py") for name in _defined(_tree(path))}

    listed = {seam.name for seam in SEAMS if seam.used_in == module} | ON_INSTANCES.keys()
    assert used - ours <= listed, f"app/engine/{module} uses what an upgrade may move: put it on the list of seams"


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _defined(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Attribute(attr=name, ctx=ast.Store()) | ast.Name(id=name, ctx=ast.Store()):
                yield name


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def test_a_client_of_botocore_has_the_parts_that_the_wire_takes_from_it() -> None:
    client: Any = boto3.client(
        "sqs",
        endpoint_url="https://sqs.example",
        region_name="eu-central-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        verify=False,
    )

    look = "app/engine/aws/wire/connection.py looks at it"
    assert client._request_signer._credentials.get_frozen_credentials().access_key == "key", look
    assert client._endpoint.http_session._verify is False, look
    assert client.meta.endpoint_url == "https://sqs.example", look


def test_the_delivery_tag_of_a_message_is_its_receipt_handle() -> None:
    channel_class = import_module("kombu.transport.SQS").Channel
    message = {"ReceiptHandle": "handle", "Body": "{}"}

    payload = channel_class._envelope_payload(None, {}, "{}", message, "address")

    assert payload["properties"]["delivery_tag"] == "handle"
    assert payload["properties"]["delivery_info"] == {"sqs_message": message, "sqs_queue": "address"}


def test_celery_gives_the_producer_that_we_put_in_its_place_what_it_expects() -> None:
    source = inspect.getsource(Celery.send_task)

    look = "app/engine/outbox/producer.py stands in for kombu's producer"
    assert "with self.producer_or_acquire(producer) as P:" in source, look
    assert "with P.connection._reraise_as_library_errors():" in source, look
    assert "amqp.send_task_message(P, name, message, **options)" in source, look


def test_a_group_publishes_its_parts_within_one_producer_s_block() -> None:
    source = inspect.getsource(import_module("celery.canvas").group)

    assert "with app.producer_or_acquire(producer) as producer:" in source, "app/engine/broker/producer.py sends at the end of it"


def test_a_pool_that_ends_has_the_parts_that_we_look_at() -> None:
    look = "app/engine/broker/pool_ending.py looks at it"
    pool = import_module("celery.concurrency.asynpool").AsynPool
    flush = inspect.getsource(pool.flush)
    for part in (
        "for job in tuple(self._cache.values()):\n            if not job._accepted:",
        "self.outbound_buffer.clear()",
        "self._state == RUN",
    ):
        assert part in flush, look
    assert "job._writer = ref(cor)" in inspect.getsource(pool._create_write_handlers), look
    join = inspect.getsource(import_module("billiard.pool").Pool.join)
    assert "enumerate(self._pool)" in join, look
    assert "p._popen is not None" in join, look
    assert "self.returncode is None" in inspect.getsource(import_module("billiard.popen_fork").Popen.wait), look
    assert "P = self._pool = Pool(" in inspect.getsource(import_module("celery.concurrency.prefork").TaskPool.on_start), look


def test_celery_flushes_a_pool_that_it_has_closed_and_marks_a_cold_stop_before_it_waits_for_the_pool() -> None:
    look = "app/engine/broker/pool_ending.py stands in for it"
    assert "self.pool.flush()" in inspect.getsource(import_module("celery.worker.consumer.consumer").Consumer.on_close), look
    cold = inspect.getsource(import_module("celery.apps.worker").on_cold_shutdown)
    assert 0 < cold.index("state.should_terminate = True") < cold.index("worker.consumer.pool.stop()"), look


def test_a_killed_greenlet_is_reported_as_a_success() -> None:
    def killed() -> None:
        raise GreenletExit

    result = import_module("celery.concurrency.gevent").TaskPool._make_killable_target(killed)()

    assert result == (False, None, None), "app/engine/broker/request.py gives back what was killed, instead of acknowledging it"


def test_arguments_are_not_shown_where_we_set_their_representation() -> None:
    assert {"argsrepr", "kwargsrepr"} <= set(inspect.signature(current_app.amqp.as_task_v2).parameters), (
        "app/engine/broker/program.py sets them"
    )


def test_every_method_of_celery_s_remote_control_goes_through_the_one_that_we_replace() -> None:
    control = import_module("celery.app.control")
    source = inspect.getsource(control)

    look = "app/engine/control/control.py replaces Control.broadcast and nothing else"
    assert "self.app.control.broadcast(" in inspect.getsource(control.Inspect._request), look
    assert source.count("self.mailbox(") == inspect.getsource(control.Control.broadcast).count("self.mailbox("), look
    assert "self.app.control.revoke(" in inspect.getsource(import_module("celery.result")), look
    assert "app.control.broadcast(command" in inspect.getsource(import_module("celery.bin.control").control.callback), look


def test_celery_s_own_listener_stays_out_of_workers_of_this_transport() -> None:
    assert not current_app.connection_for_write().transport.implements.exchange_type & {"fanout"}, (
        "Celery would declare a queue for each worker: app/engine/control/receiver.py stands in for its Control step"
    )


def test_a_worker_heeds_what_it_remembers_as_revoked() -> None:
    request = import_module("celery.worker.request")
    state = import_module("celery.worker.state")

    look = "app/engine/control/revocations.py fills the sets of celery.worker.state"
    assert request.revoked_tasks is state.revoked, look
    assert request.revoked_stamps is state.revoked_stamps, look
    assert {"maxlen", "expires"} <= vars(state.revoked).keys(), look
    assert "if self.revoked():" in inspect.getsource(request.create_request_cls), look
