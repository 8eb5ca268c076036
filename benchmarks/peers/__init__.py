"""transformers' Trainer as the peer, and Zaowu beside it on the same work."""
