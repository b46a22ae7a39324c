"""What is deployed together: messages, state, and what watches them."""
