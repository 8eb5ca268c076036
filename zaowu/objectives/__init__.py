"""Pre-training without labels: a target whose answer is made from the record."""
