"""Makers of messy files for `test_messy_files`: each writes into a folder and returns the path to read."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import zipfile
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path

import openpyxl
import polars as pl

Maker = Callable[[Path], Path]
ROWS = [
    ("中国女排三比零击败对手，进入决赛", "体育"),
    ("国产芯片发布，性能有所提高", "科技"),
    ("他说这场比赛很难", "体育"),
]
CSV = "title,topic\n" + "".join(f"{title},{topic}\n" for title, topic in ROWS)
TRADITIONAL = (
    "標題,類別\n中華隊在棒球比賽中擊敗日本隊,體育\n科技公司發表最新款手機,科技\n颱風逼近花蓮，明天停班停課,生活\n"
)
LATIN = "text,label\nUn café très agréable,positif\nLa salle était fermée à midi,négatif\nPrix : 5 € l’entrée,positif\n"


def content(name: str, data: str | bytes, encoding: str = "utf-8") -> Maker:
    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(data.encode(encoding) if isinstance(data, str) else data)
        return path

    return make


def document(name: str, data: object) -> Maker:
    return content(name, json.dumps(data, ensure_ascii=False, indent=1))


def tree(name: str, files: dict[str, str]) -> Maker:
    def make(folder: Path) -> Path:
        for inside, text in files.items():
            path = folder / name / inside
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        return folder / name

    return make


def zipped(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for inside, data in files.items():
            archive.writestr(inside, data)
    return packed.getvalue()


def archive(name: str, files: dict[str, bytes], part: str = "") -> Maker:
    def make(folder: Path) -> Path:
        path = content(name, zipped(files))(folder)
        return Path(f"{path}#{part}") if part else path

    return make


def gbk_names(folder: Path) -> Path:
    """As Chinese Windows packs: the names are GBK and no flag says so."""
    names = {"体育": "TTTT", "科技": "KKKK"}
    data = zipped({f"{stand_in}/{k}.txt": f"第{k}条".encode() for stand_in in names.values() for k in range(2)})
    for label, stand_in in names.items():
        data = data.replace(stand_in.encode(), label.encode("gb18030"))
    return content("新闻.zip", data)(folder)


def book(fill: Callable[[openpyxl.Workbook], None], name: str = "book.xlsx", sheet: str = "") -> Maker:
    def make(folder: Path) -> Path:
        workbook = openpyxl.Workbook()
        fill(workbook)
        workbook.save(folder / name)
        return folder / (f"{name}#{sheet}" if sheet else name)

    return make


def with_readme(workbook: openpyxl.Workbook) -> None:
    workbook.active.title = "说明"
    workbook.active.append(["本表由编辑部整理"])
    sheet = workbook.create_sheet("数据")
    for row in [("title", "topic"), *ROWS]:
        sheet.append(row)
    workbook.create_sheet("空白")


def by_month(workbook: openpyxl.Workbook) -> None:
    workbook.active.title = "1月"
    for sheet in (workbook.active, workbook.create_sheet("2月")):
        for row in [("title", "topic"), *ROWS[: 3 if sheet.title == "1月" else 2]]:
            sheet.append(row)


def unlike(workbook: openpyxl.Workbook) -> None:
    workbook.active.title = "新闻"
    for row in [("title", "topic"), *ROWS]:
        workbook.active.append(row)
    sheet = workbook.create_sheet("用户")
    for row in [("name", "age", "city"), ("王芳", 31, "北京"), ("李雷", 28, "上海")]:
        sheet.append(row)


def merged(workbook: openpyxl.Workbook) -> None:
    sheet = workbook.active
    for row, cells in enumerate([("2021年新闻",), (), ("栏目", "标题"), *[(b, a) for a, b in sorted(ROWS)]], start=2):
        for column, cell in enumerate(cells, start=2):
            sheet.cell(row, column, cell)
    sheet.merge_cells("B2:C2")
    sheet.cell(6, 2).value = sheet.cell(5, 2).value
    sheet.merge_cells("B5:B6")


def two_headers(workbook: openpyxl.Workbook) -> None:
    sheet = workbook.active
    for row in [("地区", "人口", None, "备注"), (None, "男", "女", None), ("北京", 1, 2, "甲"), ("上海", 3, 4, "乙")]:
        sheet.append(row)
    for cells in ("B1:C1", "A1:A2", "D1:D2"):
        sheet.merge_cells(cells)


def of_every_type(workbook: openpyxl.Workbook) -> None:
    for row in [("d", "n"), (date(2020, 1, 1), 1), ("unknown", 2), (timedelta(hours=30), 3)]:
        workbook.active.append(row)


def dates(workbook: openpyxl.Workbook) -> None:
    sheet = workbook.active
    for row in [
        ("标题", "日期", "时间", "阅读", "类别"),
        ("好球", date(2021, 1, 5), datetime(2021, 1, 5, 8, 30), 12, "体育"),
    ]:
        sheet.append(row)
    sheet.append(("芯片", date(2021, 2, 6), datetime(2021, 2, 6, 9, 0), 7, "科技"))
    sheet.append(("合计", None, None, 19, None))


def ods(folder: Path) -> Path:
    cell = '<table:table-cell office:value-type="string"><text:p>{}</text:p></table:table-cell>'
    rows = "".join(
        "<table:table-row>" + "".join(map(cell.format, row)) + "</table:table-row>"
        for row in [("title", "topic"), *ROWS]
    )
    spaces = " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "table", "text")
    )
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?><office:document-content {spaces} office:version="1.2"><office:body>'
        f'<office:spreadsheet><table:table table:name="S">{rows}</table:table></office:spreadsheet></office:body>'
        "</office:document-content>"
    )
    manifest = (
        '<?xml version="1.0"?><manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0">'
        "</manifest:manifest>"
    )
    return archive(
        "book.ods",
        {
            "mimetype": b"application/vnd.oasis.opendocument.spreadsheet",
            "content.xml": body.encode(),
            "META-INF/manifest.xml": manifest.encode(),
        },
    )(folder)


def parquet(folder: Path) -> Path:
    frame = pl.DataFrame(
        {
            "title": [title for title, _ in ROWS],
            "topic": pl.Series([topic for _, topic in ROWS], dtype=pl.Categorical),
            "tags": [["女排", "决赛"], [], None],
            "author": [{"name": "王芳", "age": 31}, {"name": "李雷", "age": None}, None],
        }
    )
    frame.write_parquet(folder / "news.parquet")
    return folder / "news.parquet"


def bomb(pack: Callable[[bytes], bytes], name: str) -> Maker:
    return lambda folder: content(name, pack(b"text,label\n" + b"a,b\n" * (20 << 20)))(folder)


def gz(data: bytes) -> bytes:
    return gzip.compress(data, 9)


bz = bz2.compress
