"""What stands in for AWS, RDS and Stripe on a laptop: one process each, on loopback only."""
