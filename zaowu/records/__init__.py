"""Raw files -> typed columns: `read` -> `schema` -> `check` -> `split`. No torch here."""
