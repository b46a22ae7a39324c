"""What topology raises."""


class TopologyError(ValueError):
    """A policy states something that cannot exist. The message names the policy, the field and the way out."""
