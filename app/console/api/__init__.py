"""What operators see, for programs. Tokens of staff only: it tells of everybody's jobs."""
