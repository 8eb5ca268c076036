"""Tagged lines of the People's Daily become texts with entities."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from sets.people import record_of


@pytest.mark.parametrize(
    ("line", "text", "entities"),
    [
        ("江/nr  泽民/nr  在/p  北京/ns  。/w", "江泽民在北京。", [("江泽民", "nr"), ("北京", "ns")]),
        ("[中国/ns  政府/n]nt  和/c  新华社/nt", "中国政府和新华社", [("中国", "ns"), ("新华社", "nt")]),
        ("克林顿/nr  叶利钦/nr", "克林顿叶利钦", [("克林顿", "nr"), ("叶利钦", "nr")]),
        ("李/nr  鹏/nr  朱/nr  镕基/nr  ８/m", "李鹏朱镕基８", [("李鹏", "nr"), ("朱镕基", "nr")]),
        ("", "", []),
    ],
)
def test_a_line_becomes_a_record(line, text, entities):
    found = record_of(line)
    assert found["text"] == text and [(one["text"], one["label"]) for one in found["entities"]] == entities
    assert all(text[one["start"] : one["end"]] == one["text"] for one in found["entities"])
