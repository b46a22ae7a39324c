"""What the container image promises, as far as that can be known without Docker."""
