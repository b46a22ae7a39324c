"""A report's files as a reader sees them."""

import csv
import io
import re
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import IO, BinaryIO
from xml.etree import ElementTree as ET

_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """Rows and cents of each source, and how many different rows there are."""

    rows: Counter[str]
    amounts: Counter[str]
    different: int


def read_csv(content: bytes) -> Found:
    rows: Counter[str] = Counter()
    amounts: Counter[str] = Counter()
    seen: set[tuple[str, int]] = set()
    for row in csv.DictReader(io.StringIO(content.decode(), newline="")):
        rows[row["source"]] += 1
        amounts[row["source"]] += int(Decimal(row["amount"]) * 100)
        seen.add((row["source"], int(row["id"])))
    return Found(rows=rows, amounts=amounts, different=len(seen))


def read_xlsx(content: BinaryIO) -> Found:
    """Every part must be whole (its checksum), and every sheet well-formed."""
    rows: Counter[str] = Counter()
    amounts: Counter[str] = Counter()
    seen: set[tuple[str, str]] = set()
    with zipfile.ZipFile(content) as package:
        assert package.testzip() is None
        book = ET.fromstring(package.read("xl/workbook.xml"))  # noqa: S314 — our own file
        titles = [str(sheet.get("name")) for sheet in book.iter(f"{_MAIN}sheet")]
        for number, title in enumerate(titles, 1):
            source = title.split()[0].lower()
            with package.open(f"xl/worksheets/sheet{number}.xml") as sheet:
                for pk, amount in _cells(sheet):
                    rows[source] += 1
                    amounts[source] += int((Decimal(amount) * 100).to_integral_value())
                    seen.add((source, pk))
    return Found(rows=rows, amounts=amounts, different=len(seen))


def _cells(sheet: IO[bytes]) -> list[tuple[str, str]]:
    found = []
    for _, element in ET.iterparse(sheet):  # noqa: S314 — our own file
        if element.tag == f"{_MAIN}row":
            if element.get("r") != "1":
                cells = list(element)
                found.append((str(cells[0].findtext(f"{_MAIN}v")), str(cells[-1].findtext(f"{_MAIN}v"))))
            element.clear()
    return found


def read_pdf(content: bytes) -> str:
    """Its text. The table of its objects must lead to each of them."""
    assert content.startswith(b"%PDF-")
    assert content.rstrip().endswith(b"%%EOF")
    start = int(re.findall(rb"startxref\s+(\d+)", content)[-1])
    assert content[start : start + 4] == b"xref"
    objects = re.findall(rb"^(\d{10}) \d{5} n", content[start:], re.MULTILINE)
    assert objects
    for position in objects:
        assert re.match(rb"\d+ 0 obj", content[int(position) :])
    text = ""
    for stream in re.findall(rb"stream\n(.*?)\nendstream", content, re.DOTALL):
        try:
            text += zlib.decompress(stream).decode("latin-1")
        except zlib.error:
            continue
    return " ".join(re.findall(r"\((.*?)\) Tj", text)).replace("\\", "")
