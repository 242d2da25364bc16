"""What is in a file that is not text itself: the one file of a zip archive, a sheet of a workbook, a Parquet table.

The result is read like a text file, from any offset: what comes before the offset is made again, and the same file
gives the same bytes. The file as it came stays what is stored and hashed.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from tempfile import TemporaryFile
from typing import BinaryIO, Final, cast

from penstock.ingest.files.parse import parquet
from penstock.ingest.files.parse.sheet import choose_sheet, csv_text
from penstock.ingest.files.parse.stream import BadFile, Meter, check_ratio
from penstock.ingest.files.parse.workbook import Workbook, foreign_document, is_workbook
from penstock.ingest.files.parse.zipped import MARKS, Archive

MAX_INNER: Final = 256 << 20
"""Of a workbook within a zip archive, which is copied to be read."""


class Contents:
    """Enough of a binary file: `seek` from the beginning, `read`.

    `container` is what it was made from and `sheet` which sheet; `is_rows` says that it is CSV of our own making.
    """

    def __init__(
        self, container: str, make: Callable[[Meter], Iterator[bytes]], sheet: str | None = None, *, is_rows: bool
    ) -> None:
        self.container, self.sheet, self.is_rows = container, sheet, is_rows
        self._make = make
        self._meter = Meter()
        self._blocks: Iterator[bytes] | None = None
        self._waiting = bytearray()
        self._place = 0
        self._fault: BadFile | None = None

    @property
    def consumed(self) -> int:
        """How many bytes of the file as it is stored have been read."""
        return self._meter.consumed

    def seek(self, offset: int, whence: int = 0) -> int:
        assert whence == 0, "its end is not known"
        if self._blocks is None or offset < self._place:
            self._meter = Meter()
            self._blocks, self._fault, self._place = self._make(self._meter), None, 0
            self._waiting.clear()
        while self._place < offset and self.read(min(offset - self._place, 1 << 20)):
            pass
        return self._place

    def read(self, size: int) -> bytes:
        """Fewer bytes than asked for only at the end. What comes before a fault is given before it is raised."""
        if self._blocks is None:
            self.seek(0)
        while len(self._waiting) < size and self._fault is None and (block := self._next()):
            self._waiting += block
        if self._fault is not None and not self._waiting:
            raise self._fault
        data = bytes(self._waiting[:size])
        del self._waiting[:size]
        self._place += len(data)
        return data

    def _next(self) -> bytes:
        """The next block that holds anything; an empty one at the end and at a fault, which is kept."""
        assert self._blocks is not None
        try:
            for block in self._blocks:
                if block:
                    return block
        except BadFile as fault:
            self._fault = fault
        return b""


@contextmanager
def contents(file: BinaryIO, sheet: str | None = None) -> Iterator[BinaryIO]:
    """The file itself, or what it holds; raises `InvalidInput` that says what is wrong or has to be chosen."""
    file.seek(0)
    head = file.read(4)
    with ExitStack() as copies:
        if head in MARKS:
            yield cast(BinaryIO, _of_archive(file, sheet, copies))
        elif head == parquet.MARK:
            size = file.seek(0, 2)
            rows = Contents("parquet", lambda meter: parquet.csv_text(file, size, meter), is_rows=True)
            yield cast(BinaryIO, rows)
        else:
            yield file


def _of_archive(file: BinaryIO, sheet: str | None, copies: ExitStack) -> Contents:
    archive = Archive(file)
    if is_workbook(archive):
        return _of_workbook(archive, "xlsx", sheet)
    if what := foreign_document(archive):
        raise BadFile(f"this is {what}", field="file")
    if len(archive.files) != 1:
        names = ", ".join(repr(name[:60]) for name in list(archive.files)[:10])
        raise BadFile(
            f"the zip archive has {len(archive.files)} files ({names}): send them one by one"
            if archive.files
            else "the zip archive is empty",
            field="file",
        )
    (info,) = archive.files.values()
    inner = Contents("zip", lambda meter: archive.unpack(info, meter), is_rows=False)
    head = inner.read(4)
    if head == parquet.MARK:
        raise BadFile("a Parquet file within a zip archive: send it as it is", field="file")
    return (
        _of_workbook_within(inner, sheet, cast(BinaryIO, copies.enter_context(TemporaryFile())))
        if head in MARKS
        else inner
    )


def _of_workbook_within(inner: Contents, sheet: str | None, copy: BinaryIO) -> Contents:
    inner.seek(0)
    while block := inner.read(1 << 20):
        copy.write(block)
        if copy.tell() > MAX_INNER:
            raise BadFile(f"a file of more than {MAX_INNER} bytes within a zip archive: send it as it is", field="file")
    archive = Archive(copy)
    if not is_workbook(archive):
        raise BadFile("the zip archive has another archive in it: unpack one of them", field="file")
    return _of_workbook(archive, "zip xlsx", sheet)


def _of_workbook(archive: Archive, container: str, wanted: str | None) -> Contents:
    workbook = Workbook(archive)
    sheet = choose_sheet(workbook, wanted)
    size = archive.size()

    def make(meter: Meter) -> Iterator[bytes]:
        written = 0
        for text in csv_text(workbook, sheet, meter):
            written += len(text) - text.count(b"\r")  # blank rows above a far one are cheap
            check_ratio(written, size, "a workbook")
            yield text

    return Contents(container, make, sheet.name, is_rows=True)
