"""One readable Transformer: positions, attention, feed-forward, block, encoder."""
