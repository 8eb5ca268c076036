from __future__ import annotations

from pathlib import Path

import pytest

from zaowu.bases.names import CATALOGUE
from zaowu.errors import UserError
from zaowu.progress import note
from zaowu.verbs import bases


def test_the_list_says_what_one_needs_to_choose(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("ZAOWU_HOME", str(tmp_path))
    rows = bases.bases()
    assert [row["name"] for row in rows] == list(CATALOGUE) and sum(row["default"] for row in rows) == 1
    for row in rows:
        assert row["download_mb"] > 0 and row["disk_mb"] > 0 and row["licence"] and row["languages"]
        assert row["here"] is False and row["folder"] == str(tmp_path / "bases" / row["name"])


def test_fetch_says_where_it_is_unless_quiet(monkeypatch, tmp_path: Path, capsys):
    def resolve(name: str) -> Path:
        note("fetching")
        return tmp_path / name

    monkeypatch.setattr(bases, "resolve", resolve)
    assert bases.fetch("minilm-l6-en") == tmp_path / "minilm-l6-en"
    said = capsys.readouterr()
    assert said.out == "" and said.err == f"fetching\nminilm-l6-en is in {tmp_path / 'minilm-l6-en'}.\n"
    bases.fetch("minilm-l6-en", quiet=True)
    assert capsys.readouterr().err == ""


def test_fetch_of_a_folder_or_a_misspelt_name(tmp_path: Path):
    with pytest.raises(UserError, match="Did you mean 'minilm-l6-en'"):
        bases.fetch("minilm-l6-em")
    with pytest.raises(UserError, match="not a base that can be fetched"):
        bases.fetch(str(tmp_path))
