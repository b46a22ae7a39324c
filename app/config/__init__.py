"""Which of it, with which values: the composition root. Nobody imports it."""
