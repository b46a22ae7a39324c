"""A picture of one run of each policy: what waits, and what is paid for."""

from collections.abc import Mapping, Sequence
from html import escape

from benchmarks.scaling.world import Outcome

_WIDTH, _HEIGHT, _MARGIN = 860, 180, 54
#: Of people who cannot tell red from green, too: https://jfly.uni-koeln.de/color/
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999", "#000000")


def svg(title: str, outcomes: Mapping[str, Outcome]) -> str:
    """Two panels over the same hours: messages that wait, and tasks that are desired."""
    panels = (("waiting messages", 1), ("desired tasks", 3))
    hours = max(moment for outcome in outcomes.values() for moment, *_ in outcome.history) / 3600
    body = [f'<text x="{_MARGIN}" y="20" font-size="15">{escape(title)}</text>']
    for number, (name, field) in enumerate(panels):
        top = 40 + number * (_HEIGHT + 50)
        highest = max(max(sample[field] for sample in outcome.history) for outcome in outcomes.values()) or 1
        body += _frame(name, top, highest, hours)
        for colour, outcome in zip(_COLOURS, outcomes.values(), strict=False):
            points = [(sample[0] / 3600, sample[field]) for sample in outcome.history]
            body.append(_line(points, top, highest, hours, colour))
    bottom = 40 + len(panels) * (_HEIGHT + 50)
    for number, (colour, name) in enumerate(zip(_COLOURS, outcomes, strict=False)):
        x, y = _MARGIN + 270 * (number % 3), bottom + 20 * (number // 3)
        body.append(f'<line x1="{x}" y1="{y - 4}" x2="{x + 22}" y2="{y - 4}" stroke="{colour}" stroke-width="3"/>')
        body.append(f'<text x="{x + 28}" y="{y}">{escape(name)}</text>')
    height = bottom + 20 * (len(outcomes) // 3 + 1)
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH + 2 * _MARGIN} {height}" font-family="sans-serif" font-size="12">',
            '<rect width="100%" height="100%" fill="white"/>',
            *body,
            "</svg>\n",
        )
    )


def _frame(name: str, top: int, highest: float, hours: float) -> list[str]:
    bottom = top + _HEIGHT
    return [
        f'<rect x="{_MARGIN}" y="{top}" width="{_WIDTH}" height="{_HEIGHT}" fill="none" stroke="#bbb"/>',
        f'<text x="{_MARGIN}" y="{top - 5}">{escape(name)}</text>',
        f'<text x="{_MARGIN - 6}" y="{top + 10}" text-anchor="end">{highest:g}</text>',
        f'<text x="{_MARGIN - 6}" y="{bottom}" text-anchor="end">0</text>',
        f'<text x="{_MARGIN + _WIDTH}" y="{bottom + 15}" text-anchor="end">{hours:.1f} h</text>',
    ]


def _line(points: Sequence[tuple[float, float]], top: int, highest: float, hours: float, colour: str) -> str:
    # What does not change needs no point between its first and its last.
    ends = {0, len(points) - 1}
    told = [point for place, point in enumerate(points) if place in ends or not points[place - 1][1] == point[1] == points[place + 1][1]]
    drawn = " ".join(f"{_MARGIN + _WIDTH * x / hours:.0f},{top + _HEIGHT * (1 - y / highest):.0f}" for x, y in told)
    return f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
