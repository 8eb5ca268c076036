"""Which encoding a text is in that is not UTF-8, by what its characters would be.

Nearly every pair of bytes is some character of GB18030 and most are one of Big5, so that a decoder without a
complaint proves nothing. What proves something: in the right encoding a large part of a Chinese text (30 % in
headlines, 60 % in prose) are a few hundred characters, in the wrong one they are as rare as all others.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

CHINESE = ("gb18030", "cp950", "big5hkscs")  # the first wins among equals
MAX_BYTES = 1 << 18  # of text outside ASCII that decide
LEAST_FAMILIAR = 0.06  # Korean read as GB18030 has 4 %, Russian and Japanese none
NUM_FOR_DOUBT = 200  # characters, below which a text may be names or codes
_FREQUENT = frozenset(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成"
    "方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第公此已工使"
    "情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老"
    "给世位次度门任常先海通教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活尔更别打女变四神总何电数安少报才结反受目"
    "太量再感建务做接必场件计管期市直德资命山金指克许统区保至队形社便空决治展马科司五基眼书非则听白却界达光放强即像难且权思王"
    "象完设式色路记南品住告类求据程北边死张该交规万取拉格望觉术领共确传师观清今切院让识候带导争运笔网车线球"
    "這個們來為國說時會對於著過發後種經麼現當沒動還進樣開從實軍無與長機關點業將兩間問應戰頭體見產給門員東聲論處義認條氣題爾"
    "變總電數報結務場計資統區隊決馬書聽達強難權設記類據邊張該規萬覺術領確傳師觀讓識帶導爭運筆學網車線買賣價錢灣雙選"
)
_RUN = re.compile(rb"[\x80-\xff]+")
_PLAUSIBLE = re.compile(r"[\t\n\r -~\u00a0-\u00ff\u2010-\u2026\u3000-\u30ff\u4e00-\u9fff\uac00-\ud7a3\uff00-\uffef]")


def utf16(head: bytes) -> str | None:
    """`utf-16-le` or `utf-16-be` when the file that begins with `head` is in one of them, with or without BOM."""
    for codec, bom in (("utf-16-le", b"\xff\xfe"), ("utf-16-be", b"\xfe\xff")):
        if head.startswith(bom) and not head.startswith(b"\xff\xfe\0\0"):
            return codec
    if b"\0" not in head:
        return None
    even = head[: len(head) // 2 * 2]
    shares = {}
    for codec in ("utf-16-le", "utf-16-be"):
        text = even.decode(codec, "replace")
        has_lines = "\n" in text or "\r" in text
        shares[codec] = len(_PLAUSIBLE.findall(text)) / len(text) if has_lines else 0.0
    best = max(shares, key=lambda codec: shares[codec])
    return best if shares[best] >= 0.95 else None


def guess(lines: Sequence[bytes]) -> str | None:
    """The codec of `lines`, which hold bytes outside ASCII and are not UTF-8; None when it is none that is known.

    Latin-1 (as Windows extends it) has its marks one by one between ASCII letters; Chinese has them in runs.
    """
    data = b"\n".join(lines)[:MAX_BYTES]
    best, best_score = CHINESE[0], 0.0
    for codec in CHINESE:
        score = familiar(data.decode(codec, "replace"))[0] * sum(decodes(line, codec) for line in lines) / len(lines)
        if score > best_score:
            best, best_score = codec, score
    runs = _RUN.findall(data)
    if best_score < 2 * LEAST_FAMILIAR and sum(len(run) == 1 for run in runs) * 2 > len(runs):
        return "cp1252"
    share, count = familiar(data.decode(best, "replace"))
    return best if share >= LEAST_FAMILIAR or count < NUM_FOR_DOUBT else None


def familiar(text: str) -> tuple[float, int]:
    """The share of frequent characters among those outside ASCII, and how many there are outside ASCII."""
    counts = Counter(text)
    every = sum(count for char, count in counts.items() if not char.isascii())
    frequent = sum(count for char, count in counts.items() if char in _FREQUENT)
    return (frequent / every if every else 0.0), every


def decodes(data: bytes, codec: str) -> bool:
    try:
        data.decode(codec)
    except UnicodeDecodeError:
        return False
    return True
