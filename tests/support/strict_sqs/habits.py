"""What SQS may do at any time, and how often it does it here."""

from dataclasses import dataclass, fields

LONGEST_DELAY_SECONDS = 900


@dataclass(frozen=True, kw_only=True, slots=True)
class Habits:
    """Each rate is a share from 0 to 1."""

    duplicates: float = 0.02
    """Of the messages received: each is delivered once more, 0 to 2 s later, while the first delivery is in flight or after its
    delete, under the same message id with a new receipt handle. Never a third time. Its receive count is one higher."""

    lost_receives: float = 0.01
    """Of the receives that took messages: their answer is lost."""

    lost_for_seconds: int = 5
    """How long the messages of a lost answer stay hidden. AWS: the whole visibility timeout; tests would wait for minutes."""

    late_sends: float = 0.05
    """Of the messages sent without a DelaySeconds: visible a second later."""

    short_receives: float = 0.1
    """Of the receives: ask for fewer messages than the caller did."""

    shuffle: bool = True
    """Whether the messages of one receive come in random order."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            most = LONGEST_DELAY_SECONDS if field.name == "lost_for_seconds" else 1
            if not 0 <= value <= most:
                raise ValueError(f"Habits.{field.name}: expected 0 to {most}, got {value!r}")


NO_HABITS = Habits(duplicates=0, lost_receives=0, late_sends=0, short_receives=0, shuffle=False)
