"""An .xlsx workbook: its sheets, the texts that they share, and which of their numbers are dates.

Read by the standard library alone, as a stream: the readers at hand hold a sheet whole and leave out what is between
its cells, so that two cells far apart end the process, and give an error cell as an empty one. Only the shared texts
are held in memory.
"""

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final, Literal
from xml.parsers import expat

from penstock.ingest.files.parse.stream import BadFile, Meter
from penstock.ingest.files.parse.zipped import Archive

MAX_SHARED: Final = 128 << 20
"""Bytes of the part with the shared texts; in memory it is up to three times as much."""
MAX_PART: Final = 16 << 20
MAX_TOKEN: Final = 4 << 20
"""Of a tag, which the parser holds until it ends."""
MAX_TEXT: Final = 1 << 20
TimeKind = Literal["date", "time", "duration"]

_DATES: Final = frozenset([*range(14, 18), 22, *range(27, 32), 36, *range(50, 55), 57, 58])
_TIMES: Final = frozenset([18, 19, 20, 21, 32, 33, 34, 35, 45, 47, 55, 56])
_DURATIONS: Final = frozenset([46])
_LITERALS: Final = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]|am/pm|a/p|general')
_ESCAPED: Final = re.compile(r"_x([0-9A-Fa-f]{4})_")
_OTHERS: Final = {
    "xl/workbook.bin": "an .xlsb workbook: save it as .xlsx",
    "mimetype": "an OpenDocument file: save the sheet as .xlsx or CSV",
    "word/document.xml": "a Word document",
    "ppt/presentation.xml": "a presentation",
}


@dataclass(frozen=True)
class Sheet:
    name: str
    part: str
    is_hidden: bool


class XmlStream:
    """A part of the workbook, parsed as it is unpacked. Handlers get element names without their namespace."""

    def __init__(self) -> None:
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._refuse_doctype
        self._parser.StartElementHandler = self._begin
        self._parser.CharacterDataHandler = self.text

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        """The first element shows whether names have a prefix; where they have none, handlers are called directly."""
        if ":" in name:
            self._parser.StartElementHandler = lambda name, attributes: self.start(_local(name), attributes)
            self._parser.EndElementHandler = lambda name: self.end(_local(name))
        else:
            self._parser.StartElementHandler, self._parser.EndElementHandler = self.start, self.end
        self._parser.StartElementHandler(name, attributes)

    def start(self, name: str, attributes: dict[str, str]) -> None: ...
    def end(self, name: str) -> None: ...
    def text(self, text: str) -> None: ...

    def feed(self, archive: Archive, part: str, limit: int | None = None, meter: Meter | None = None) -> Iterator[None]:
        """Parse the part block by block; the caller takes what has come after each. A part that is missing is empty."""
        info = archive.files.get(part)
        if info is None:
            return
        if limit is not None and info.file_size > limit:
            raise BadFile(
                f"the workbook's {part} has {info.file_size} bytes, more than {limit}: save the sheet as CSV",
                field="file",
            )
        fed = 0
        try:
            for block in archive.unpack(info, meter):
                self._parser.Parse(block, False)
                fed += len(block)
                if fed - self._parser.CurrentByteIndex > MAX_TOKEN:
                    raise BadFile(f"the workbook's {part} has a tag of more than {MAX_TOKEN} bytes", field="file")
                yield
            self._parser.Parse(b"", True)
            yield
        except expat.ExpatError as error:
            raise BadFile(f"the workbook's {part} is damaged: {error}", field="file") from error

    def read(self, archive: Archive, part: str, limit: int) -> None:
        for _ in self.feed(archive, part, limit):
            pass

    @staticmethod
    def _refuse_doctype(*_: object) -> None:
        raise BadFile("the workbook declares a document type, which none does", field="file")


class Workbook:
    """What the sheets need of the rest. Raises `BadFile`."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        listing = _Elements("sheet", "workbookPr")
        path = self._path_of_workbook()
        listing.read(archive, path, MAX_PART)
        targets = self._relations(path)
        self.uses_1904 = any(
            element.get("date1904") in ("1", "true") for name, element in listing.found if name == "workbookPr"
        )
        self.sheets = tuple(
            Sheet(
                element.get("name", ""),
                targets.get(next((value for key, value in element.items() if _local(key) == "id"), ""), ""),
                element.get("state", "visible") != "visible",
            )
            for name, element in listing.found
            if name == "sheet"
        )
        self._strings_part = next((part for part in targets.values() if part.endswith("sharedStrings.xml")), "")
        self._styles_part = next((part for part in targets.values() if part.endswith("styles.xml")), "")

    def _path_of_workbook(self) -> str:
        main = [part for part in self._relations("").values() if part.endswith("workbook.xml")]
        return main[0] if main else "xl/workbook.xml"

    def _relations(self, part: str) -> dict[str, str]:
        """{id: part} of what a part refers to, the archive's own without one."""
        folder, _, name = part.rpartition("/")
        relations = _Elements("Relationship")
        relations.read(self.archive, posixpath.join(folder, "_rels", f"{name}.rels"), MAX_PART)
        return {
            element.get("Id", ""): posixpath.normpath(posixpath.join("/", folder, element.get("Target", "")))[1:]
            for _, element in relations.found
        }

    @cached_property
    def strings(self) -> list[str]:
        shared = _SharedStrings()
        shared.read(self.archive, self._strings_part, MAX_SHARED)
        return shared.found

    @cached_property
    def times(self) -> dict[str, TimeKind]:
        """{style: how its numbers are times}, of the styles whose numbers are."""
        styles = _Styles()
        styles.read(self.archive, self._styles_part, MAX_PART)
        found = ((str(place), styles.shown_by(number)) for place, number in enumerate(styles.formats))
        return {style: shown for style, shown in found if shown}


def foreign_document(archive: Archive) -> str | None:
    """What the archive is if not a workbook and no archive for files either."""
    return next((what for name, what in _OTHERS.items() if name in archive.files), None)


def is_workbook(archive: Archive) -> bool:
    return "[Content_Types].xml" in archive.files and any(name.endswith("workbook.xml") for name in archive.files)


def unescaped(text: str) -> str:
    """Characters that XML cannot have are written as _x000D_."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text) if "_x" in text else text


def written_time(number: float, shown: TimeKind, *, uses_1904: bool) -> str | None:
    """ISO 8601 of a date's or time's number, to the millisecond; None when it is not one of the calendar."""
    if shown == "duration" or (shown == "time" and 0 <= number < 1):
        return _clock(timedelta(milliseconds=round(number * 86_400_000))) if 0 <= number < 10**6 else None
    if not 0 <= number < 2_958_466 or (not uses_1904 and 60 <= number < 61):
        return None  # the calendar of 1900 has a 29 February, which was not
    first = datetime(1904, 1, 1) if uses_1904 else datetime(1899, 12, 30 if number >= 60 else 31)  # noqa: DTZ001
    moment = first + timedelta(milliseconds=round(number * 86_400_000))
    if number == int(number):
        return moment.date().isoformat()
    return moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds")


def _clock(elapsed: timedelta) -> str:
    seconds, fraction = divmod(round(elapsed.total_seconds() * 1000), 1000)
    text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{text}.{fraction:03}" if fraction else text


def _local(name: str) -> str:
    return name.rpartition(":")[2]


class _Elements(XmlStream):
    """All elements of some names, with their attributes."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self._names = names
        self.found: list[tuple[str, dict[str, str]]] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name in self._names:
            self.found.append((name, attributes))


class _SharedStrings(XmlStream):
    """Each `si` is one text, in parts when some of it is bold; how it is pronounced (`rPh`) is not part of it."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._parts: list[str] = []
        self._is_text = self._is_sound = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "t":
            self._is_text = not self._is_sound
        elif name == "rPh":
            self._is_sound = True

    def end(self, name: str) -> None:
        if name == "t":
            self._is_text = False
        elif name == "rPh":
            self._is_sound = False
        elif name == "si":
            self.found.append(unescaped("".join(self._parts)))
            self._parts.clear()

    def text(self, text: str) -> None:
        if self._is_text:
            self._parts.append(text)


class _Styles(XmlStream):
    """`formats` is the number format of each cell style."""

    def __init__(self) -> None:
        super().__init__()
        self.formats: list[int] = []
        self._codes: dict[int, str] = {}
        self._is_of_cells = False

    def start(self, name: str, attributes: dict[str, Any]) -> None:
        if name == "numFmt":
            self._codes[_number(attributes.get("numFmtId"))] = attributes.get("formatCode", "")
        elif name == "cellXfs":
            self._is_of_cells = True
        elif name == "xf" and self._is_of_cells:
            self.formats.append(_number(attributes.get("numFmtId")))

    def end(self, name: str) -> None:
        if name == "cellXfs":
            self._is_of_cells = False

    def shown_by(self, number: int) -> TimeKind | None:
        if number in self._codes:
            return _shown_by_code(self._codes[number])
        return (
            "date" if number in _DATES else "time" if number in _TIMES else "duration" if number in _DURATIONS else None
        )


def _shown_by_code(code: str) -> TimeKind | None:
    """What a number format such as `dd/mm/yyyy hh:mm` makes of a number."""
    letters = _LITERALS.sub("", code[:1000].lower()).partition(";")[0]
    if re.search(r"\[[hms]", letters):
        return "duration"
    if re.search("[yd]", letters) or ("m" in letters and not re.search("[hs]", letters)):
        return "date"
    return "time" if re.search("[hs]", letters) else None


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else 0
