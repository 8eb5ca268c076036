"""From a file on disk to a table: how it is packed, how it is written, and what in it is no record."""
