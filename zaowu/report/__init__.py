"""One HTML page a person can read: `report.write(path, content, lang=...)`."""

from zaowu.report.content import ReportContent
from zaowu.report.verdict import verdict
from zaowu.report.write import write

__all__ = ["ReportContent", "verdict", "write"]
