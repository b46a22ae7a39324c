"""What developers and CI run by hand."""
