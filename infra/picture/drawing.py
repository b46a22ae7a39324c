"""The picture as SVG: who sends on the left, queues, their workers on the right, what all of them keep below."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from infra.picture.facts import Facts, Process, Queue

_RECEIVE, _SEND, _MAIL, _PUBLISH = "sqs:ReceiveMessage", "sqs:SendMessage", "ses:SendEmail", "cloudwatch:PutMetricData"
_UNITS_A_CPU, _MIB_A_GIB = 1024, 1024

_WIDE, _HIGH, _ROW, _TOP = 200, 52, 76, 70
_OUTSIDE_X, _SENDERS_X, _QUEUES_X, _WORKERS_X, _AROUND_X = 20, 250, 530, 810, 1070
_WIDTH = _AROUND_X + _WIDE + 20
#: What fits into a box, in the font below.
_LETTERS_A_LINE = 31
_STYLE = """\
text { font: 11px sans-serif; fill: #222; } .name { font-weight: bold; font-size: 13px; } .what { fill: #555; }
.process { fill: #dcebf7; } .queue { fill: #fdebd0; } .store { fill: #dff0e3; } .other { fill: #eee; } .page { fill: #fff; }
rect { stroke: #999; } .page { stroke: none; } path { stroke: #666; fill: none; marker-end: url(#head); } .dashed { stroke-dasharray: 4 3; } .plain { marker-end: none; }
@media (prefers-color-scheme: dark) {
text { fill: #ddd; } .what { fill: #aaa; } .process { fill: #1d3a52; } .queue { fill: #54401f; } .store { fill: #1f4529; } .other { fill: #333; } .page { fill: #16191d; }
rect { stroke: #666; } path { stroke: #999; } }"""
#: Of an arrow.
_HEAD = """\
<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
<path class="plain" d="M0 0 L8 4 L0 8"/></marker></defs>"""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Box:
    x: int
    y: int
    kind: str
    name: str
    lines: Sequence[str] = ()

    @property
    def left(self) -> tuple[int, int]:
        return self.x, self.y + _HIGH // 2

    @property
    def right(self) -> tuple[int, int]:
        return self.x + _WIDE, self.y + _HIGH // 2

    @property
    def bottom(self) -> tuple[int, int]:
        return self.x + _WIDE // 2, self.y + _HIGH

    @property
    def top(self) -> tuple[int, int]:
        return self.x + _WIDE // 2, self.y

    def svg(self) -> Iterator[str]:
        yield f'<rect class="{self.kind}" x="{self.x}" y="{self.y}" width="{_WIDE}" height="{_HIGH}" rx="5"/>'
        yield f'<text class="name" x="{self.x + 8}" y="{self.y + 17}">{escape(self.name)}</text>'
        for number, line in enumerate(self.lines):
            yield f'<text x="{self.x + 8}" y="{self.y + 32 + 13 * number}">{escape(line)}</text>'


def drawing(facts: Facts) -> str:
    """Raises :class:`ValueError` if a worker receives from more than one queue, or a queue has no worker: it draws them side by side."""
    workers = [_worker_of(queue, facts) for queue in facts.queues]
    senders = [process for process in facts.processes if process not in workers]
    rows = max(len(facts.queues) + 1, len(senders))
    boxes: list[_Box] = []
    lines: list[str] = []
    for number, process in enumerate(senders):
        boxes.append(_process_box(process, _SENDERS_X, number))
    for number, (queue, worker) in enumerate(zip(facts.queues, workers, strict=True)):
        dead_after = f"dead after {queue.most_receives} receives"
        boxes.append(_Box(x=_QUEUES_X, y=_y(number), kind="queue", name=queue.name, lines=(dead_after,)))
        boxes.append(_process_box(worker, _WORKERS_X, number))
        lines.append(_path(boxes[-2].right, boxes[-1].left))
    boxes.append(_dead_letters(facts))
    lines += _jobs(facts, boxes)
    boxes += _outside(facts, boxes, lines)
    boxes += _around(facts, boxes, lines)
    boxes += _stores(facts, _y(rows) + 44)
    height = max(box.y for box in boxes) + _HIGH + 20
    lines.append(_text(_SENDERS_X, _y(rows) + 30, "what they keep, and who reads or writes it"))
    heads = (
        (_SENDERS_X, "ECS on Fargate, private subnets"),
        (_QUEUES_X, "SQS"),
        (_WORKERS_X, "ECS on Fargate: workers"),
        (_AROUND_X, "around"),
    )
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="Architecture of {facts.prefix}">',
            f"<style>{_STYLE}</style>",
            _HEAD,
            '<rect class="page" width="100%" height="100%"/>',
            f'<text class="name" x="{_OUTSIDE_X}" y="28">{facts.prefix}</text>',
            *(_text(x, 54, title) for x, title in heads),
            *lines,
            *(line for box in boxes for line in box.svg()),
            "</svg>\n",
        )
    )


def _worker_of(queue: Queue, facts: Facts) -> Process:
    found = [process for process in facts.processes if process.may(_RECEIVE, queue.name)]
    if len(found) != 1:
        raise ValueError(f"queue {queue.name}: expected one service that receives from it, got {[process.name for process in found]}")
    return found[0]


def _process_box(process: Process, x: int, row: int) -> _Box:
    size = f"{process.cpu_units / _UNITS_A_CPU:g} vCPU, {process.memory_mib / _MIB_A_GIB:g} GiB"
    if not process.most:
        copies = "runs once and ends"
    elif process.least == process.most:
        copies = "1 copy" if process.most == 1 else f"{process.most} copies"
    else:
        copies = f"{process.least} to {process.most} copies"
    return _Box(x=x, y=_y(row), kind="process", name=process.name, lines=(copies, f"{size}{', mostly Spot' if process.on_spot else ''}"))


def _dead_letters(facts: Facts) -> _Box:
    clerks = [process for process in facts.processes if any(process.may(_RECEIVE, queue.dead_letters) for queue in facts.queues)]
    name = f"dead letters, {_number(len(facts.queues), 'queue')}"
    return _Box(x=_QUEUES_X, y=_y(len(facts.queues)), kind="queue", name=name, lines=_wrapped(f"for {_who(clerks, facts)}"))


def _jobs(facts: Facts, boxes: Sequence[_Box]) -> Iterator[str]:
    """From whoever sends to all queues, by one line for all; and dashed, from the queues to the dead letters."""
    by_name = {(box.x, box.name): box for box in boxes}
    queues = [by_name[_QUEUES_X, queue.name] for queue in facts.queues]
    senders = [process for process in facts.processes if all(process.may(_SEND, queue.name) for queue in facts.queues)]
    bus = _QUEUES_X - 40
    shown = [box for process in senders if (box := by_name.get((_SENDERS_X, process.name)))]
    ends = [box.left[1] for box in (*shown, *queues)]
    yield _path((bus, min(ends)), (bus, max(ends)), "plain")
    yield from (_path(box.right, (bus, box.right[1]), "plain") for box in shown)
    yield from (_path((bus, box.left[1]), box.left) for box in queues)
    yield _text(_QUEUES_X, 66, f"jobs from {_who(senders, facts)}")
    dead, down = boxes[-1], _QUEUES_X + _WIDE + 22
    yield _path((down, queues[0].y + _HIGH - 8), (down, dead.right[1]), "plain dashed")
    yield from (_path((box.x + _WIDE, box.y + _HIGH - 8), (down, box.y + _HIGH - 8), "plain dashed") for box in queues)
    yield _path((down, dead.right[1]), dead.right, "dashed")


def _outside(facts: Facts, boxes: Sequence[_Box], lines: list[str]) -> list[_Box]:
    names = ["people and API clients", *(["AWS WAF"] if facts.counts.get("AWS::WAFv2::WebACL") else []), "load balancer"]
    chain = [_Box(x=_OUTSIDE_X, y=_y(number), kind="other", name=name) for number, name in enumerate(names)]
    lines += [_path(one.bottom, other.top) for one, other in pairwise(chain)]
    for process in facts.processes:
        if process.is_behind_the_balancer:
            web = next(box for box in boxes if box.name == process.name)
            lines.append(_path(chain[-1].right, web.left))
    return chain


def _around(facts: Facts, boxes: Sequence[_Box], lines: list[str]) -> list[_Box]:
    count = facts.counts.get
    publishers = [process for process in facts.processes if any(action == _PUBLISH for action, _ in process.allowed)]
    scaled = f"of {_number(count('AWS::ApplicationAutoScaling::ScalableTarget', 0), 'service')}"
    missing = f"{_who(publishers, facts)} says what is missing"
    alarms, boards = count("AWS::CloudWatch::Alarm", 0), count("AWS::CloudWatch::Dashboard", 0)
    told = (f"{_number(alarms, 'alarm')}, {_number(boards, 'dashboard')}", "wakes people by SNS")
    mailers = [process for process in facts.processes if any(action == _MAIL for action, _ in process.allowed)]
    gateways = _number(count("AWS::EC2::NatGateway", 0), "NAT gateway")
    entries = (
        ("Auto Scaling", (scaled, missing)),
        ("CloudWatch", told),
        ("SES", ("mail",)),
        ("the internet", (f"by {gateways}", "partners of every service")),
    )
    found = [_Box(x=_AROUND_X, y=_y(number), kind="other", name=name, lines=lines_) for number, (name, lines_) in enumerate(entries)]
    scaling, watch, mail, _ = found
    lines.append(_path(watch.top, scaling.bottom))
    lines.append(_path(scaling.left, (_WORKERS_X + _WIDE, scaling.left[1])))
    lines += [_path(box.right, mail.left) for process in mailers for box in boxes if box.name == process.name]
    return found


def _stores(facts: Facts, y: int) -> Iterator[_Box]:
    connected = [process for process in facts.processes if process.knows_the_database]
    stores: list[tuple[str, tuple[str, ...]]] = [("PostgreSQL (Aurora)", (_who(connected, facts), facts.database))]
    for service, names in (("DynamoDB", facts.tables), ("S3", facts.buckets)):
        for name in names:
            users = [process for process in facts.processes if process.touches(name)]
            stores.append((f"{name} ({service})", _wrapped(_who(users, facts))))
    across = (_WIDTH - _SENDERS_X) // (_WIDE + 15)
    for number, (name, lines) in enumerate(stores):
        x, row = _SENDERS_X + number % across * (_WIDE + 15), number // across
        yield _Box(x=x, y=y + row * (_HIGH + 15), kind="store", name=name, lines=lines)


def _who(processes: Iterable[Process], facts: Facts) -> str:
    """Names, with a word for all services and for all workers."""
    names = {process.name for process in processes}
    services = {process.name for process in facts.processes if process.most}
    workers = {_worker_of(queue, facts).name for queue in facts.queues}
    told = []
    for word, group in (("every service", services), ("every worker", workers)):
        if group and group <= names:
            told.append(word)
            names -= group
    return ", ".join([*told, *sorted(names)]) or "nobody"


def _wrapped(text: str) -> tuple[str, ...]:
    lines = [""]
    for word in text.split(" "):
        if len(lines[-1]) + len(word) < _LETTERS_A_LINE:
            lines[-1] = f"{lines[-1]} {word}".strip()
        else:
            lines.append(word)
    return tuple(lines)


def _y(row: int) -> int:
    return _TOP + 10 + row * _ROW


def _path(start: tuple[int, int], end: tuple[int, int], kind: str = "") -> str:
    """With one corner half-way, if they are not on one line."""
    (x1, y1), (x2, y2) = start, end
    middle = (x1 + x2) // 2
    way = f"L{x2} {y2}" if x1 == x2 or y1 == y2 else f"L{middle} {y1} L{middle} {y2} L{x2} {y2}"
    named = f' class="{kind}"' if kind else ""
    return f'<path{named} d="M{x1} {y1} {way}"/>'


def _text(x: int, y: int, text: str) -> str:
    return f'<text class="what" x="{x}" y="{y}">{escape(text)}</text>'


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
