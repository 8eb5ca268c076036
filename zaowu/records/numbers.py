"""Numbers as people write them: 1,200 and 1.200,50, 12%, (300), ￥1,200元, １２, 1.2万, 3亿 -> Float64.

Other tools take such a column for text, or read 1.234,5 as 1.2345 without a word. Here a value either has one
meaning or it is no number; what 1,234 means in a column that writes 2,5 elsewhere is judged by the column.
"""

from __future__ import annotations

from typing import Any

import polars as pl

NOTHING = r"^(?i:[-–—.?？*]+|n/?a|#n/a|nan|nil|null|none|missing|unknown|缺失|无|未知|空)$"  # where a number should be
INFINITE = r"^(?i:[-+]?(inf|infinity|∞))$"
_CODES = "USD|HKD|TWD|CNY|RMB|EUR|GBP|JPY|US|HK|NT|AU|CA"
_CURRENCY = rf"(?:(?:{_CODES})?[$€£¥₩₹₽฿]|{_CODES}|人民币|港币|[美欧港日韩英]?元|圆|円|块)"
_UNIT = "(?:万亿|萬億|[十百千]?[万萬亿億]|[十百千])"
_MINUS = "[-\u2212–]"
_SIGN = "[-+\u2212–]"
_DIGITS = r"[.,]?[0-9](?:[0-9.,'’ ]*[0-9])?\.?"
_UNSIGNED = rf"{_DIGITS}(?:[eE][-+]?[0-9]{{1,3}})? *{_UNIT}? *(?:[%‰]|{_CURRENCY})?"
_SHAPE = (
    rf"^(?:{_SIGN}? *(?:{_CURRENCY})? *{_UNSIGNED}|{_CURRENCY} *{_SIGN} *{_UNSIGNED}"
    rf"|\( *(?:{_CURRENCY})? *{_UNSIGNED} *\))$"
)
_AROUND = "".join(sorted(set(_CODES + "$€£¥₩₹₽฿人民币港美欧日韩英元圆円块十百千万萬亿億%‰()-+\u2212– ") - {"|"}))
# Digits by convention: a point or a comma before the decimals, and what stands between thousands.
_POINT_PLAIN = r"^(\d+\.?\d*|\.\d+)$"
_POINT_GROUPED = r"^[1-9]\d{0,2}((,\d{3})+|(,\d{2})+,\d{3})(\.\d+)?$"  # 12,34,567 is Indian
_COMMA_PLAIN = r"^\d*,\d+$"
_COMMA_GROUPED = r"^[1-9]\d{0,2}(\.\d{3})+(,\d+)?$"
_SPACE_GROUPED = r"^[1-9]\d{0,2}([ '’]\d{3})+([.,]\d+)?$"
_EITHER = r"^[1-9]\d{0,2}[.,]\d{3}$"  # a thousand or decimals: only the rest of the column can say


def parse(series: pl.Series, *, decimal_comma: bool | None = None) -> pl.Series:
    """Every value as Float64; null where it is empty or no number (NaN and infinity are none, nor is true).

    A percent sign divides by 100, parentheses are a minus, 万 is 10,000 and 亿 is 100,000,000; values are rounded
    once, so 1.1万 is 11000. decimal_comma: whether 1,234 is 1.234 and 1.234 is 1234; None asks the column
    (`has_decimal_comma`), so that a single value, on its own, is read with a decimal point.
    """
    name, dtype = series.name, series.dtype
    if dtype.is_numeric():
        numbers = series.cast(pl.Float64)
        return _finite(numbers)
    if dtype not in (pl.String, pl.Categorical, pl.Enum):
        return pl.Series(name, [None], pl.Float64).new_from_index(0, len(series))
    values = series.cast(pl.String).str.strip_chars()
    if decimal_comma is None:
        decimal_comma = has_decimal_comma(values)
    numbers = _finite(values.cast(pl.Float64, strict=False))
    if decimal_comma:
        numbers = numbers.set(values.str.contains(_EITHER), None)
    is_left = numbers.is_null() & (values != "").fill_null(False)
    if is_left.any():
        left = is_left.arg_true()
        numbers = numbers.scatter(left, _spelt(values.gather(left), decimal_comma))
    return numbers.alias(name)


def share(series: pl.Series) -> float:
    """The share of the values that are not empty which are numbers; 0 where all are empty."""
    if series.dtype == pl.String:
        total = int((series.str.strip_chars() != "").sum())
    else:
        total = len(series) - series.null_count()
        total -= int(series.is_nan().sum()) if series.dtype.is_float() else 0
    return (len(series) - parse(series).null_count()) / total if total else 0.0


def has_decimal_comma(series: pl.Series) -> bool:
    """Whether a column of strings writes 2,5 or 1.234,5: some values only make sense so, and none the other way."""
    with_comma = series.filter(series.str.contains("[,，]"))
    if not len(with_comma):
        return False
    marks = _plain(with_comma).str.strip_chars(_AROUND)
    only_comma = (marks.str.contains(_COMMA_PLAIN) | marks.str.contains(_COMMA_GROUPED)) & ~marks.str.contains(_EITHER)
    only_comma &= ~marks.str.contains(_POINT_GROUPED)
    if not only_comma.any():
        return False
    every = _plain(series).str.strip_chars(_AROUND)
    by_point = every.str.contains(_POINT_GROUPED) | (every.str.contains(_POINT_PLAIN) & every.str.contains(r"\."))
    return not (by_point & ~every.str.contains(_EITHER)).any()


def _finite(numbers: pl.Series) -> pl.Series:
    return numbers.set(~numbers.is_finite(), None)


def _plain(values: pl.Series) -> pl.Series:
    """Values that have the shape of a number in one spelling (ASCII digits, one kind of space), else null."""
    # Superscripts and circled figures would become digits: 5² is not 52.
    values = values.set(values.str.contains(r"[0-9０-９]").not_() | values.str.contains(r"\p{No}"), None)
    values = values.str.normalize("NFKC")
    return values.set(~values.str.contains(_SHAPE), None)


def _spelt(values: pl.Series, decimal_comma: bool) -> pl.Series:
    """Numbers of values that are more than digits. Powers of ten go into the exponent, so nothing is rounded twice."""
    value, digits = pl.col("value"), pl.col("digits")
    by_point = [
        (digits.str.contains(_POINT_GROUPED), digits.str.replace_all(",", "", literal=True)),
        (digits.str.contains(_POINT_PLAIN), digits),
    ]
    by_comma = [
        (
            digits.str.contains(f"{_COMMA_GROUPED}|{_COMMA_PLAIN}"),
            digits.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True),
        )
    ]
    by_space = digits.str.replace_all("[ '’]", "").str.replace(",", ".", literal=True)
    point: Any = pl.when(digits.str.contains(_SPACE_GROUPED)).then(by_space)
    for is_so, plain in (by_comma + by_point) if decimal_comma else (by_point + by_comma):
        point = point.when(is_so).then(plain)
    power = pl.col("exponent").cast(pl.Int64).fill_null(0)
    for sign, tens in (("十", 1), ("百", 2), ("千", 3), ("[万萬]", 4), ("[亿億]", 8), ("%", -2), ("‰", -3)):
        power += value.str.contains(sign).cast(pl.Int64) * tens
    number = pl.concat_str(point, pl.lit("e"), power.cast(pl.String)).cast(pl.Float64, strict=False)
    is_minus = value.str.contains(rf"^[^0-9.,]*(?:{_MINUS}|\()")
    frame = pl.DataFrame({"value": _plain(values)}).with_columns(digits=value.str.strip_chars(_AROUND))
    # The codes end in letters, so what is left of an exponent is split off here and not by a capture: captures
    # are a hundred times slower than all the rest.
    parts = digits.str.to_lowercase().str.split_exact("e", 1)
    frame = frame.with_columns(parts.struct.rename_fields(["digits", "exponent"]).alias("parts")).drop("digits")
    frame = frame.unnest("parts")
    return _finite(frame.select(pl.when(is_minus).then(-number).otherwise(number).alias("number")).to_series())
