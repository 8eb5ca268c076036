"""What a decoder has beyond an encoder: a source to look back to, and a cache to write token by token."""
