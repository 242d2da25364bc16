"""A zip archive's files as streams of bytes, in bounded memory, whatever the archive says of itself.

The directory is read by `zipfile`; the contents are unpacked here, block by block: what is unpacked is counted against
what the directory says and against the ratio of gzip files. Nothing is ever written under a name of the archive.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final, cast
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from penstock.ingest.files.parse.stream import BLOCK, BadFile, Meter, check_ratio

MARKS: Final = (b"PK\x03\x04", b"PK\x05\x06")
"""How an archive begins; the second one is empty."""
MAX_DIRECTORY: Final = 4 << 20
"""An archive of one file has a directory of a hundred bytes, a workbook's has a few thousand."""
COMPRESSED_BLOCK: Final = 64 << 10
_LOCAL_HEADER: Final = 30
_IS_ENCRYPTED: Final = 0x1
# what the systems' own packers add
_SIDE_FILES: Final = ("__MACOSX/", ".DS_Store", "Thumbs.db", "desktop.ini")


class Archive:
    """`files` are its files by name, without folders and what macOS and Windows add. Raises `BadFile`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        try:
            with ZipFile(cast(BinaryIO, _Directory(file))) as archive:
                listed = archive.infolist()
        except (BadZipFile, struct.error, ValueError, NotImplementedError, OverflowError) as error:
            raise BadFile(f"a zip archive that is damaged or cut off: {error}", field="file") from error
        wanted = [info for info in listed if not info.is_dir() and not _is_side_file(info.filename)]
        self.files = {info.filename: info for info in wanted}
        if len(self.files) < len(wanted):
            raise BadFile("a zip archive with two files of one name", field="file")

    def size(self) -> int:
        """Bytes of the whole archive."""
        return self._file.seek(0, 2)

    def unpack(self, info: ZipInfo, meter: Meter | None = None) -> Iterator[bytes]:
        """Yield the content of a file in blocks of up to 1 MiB; `meter` counts the compressed bytes."""
        meter, written, checksum = meter or Meter(), 0, 0
        for content in self._contents(info, meter):
            written += len(content)
            checksum = zlib.crc32(content, checksum)
            if written > info.file_size:
                raise BadFile(f"{_shown(info)} is larger than the zip archive says", field="file")
            check_ratio(written, meter.consumed, "zip")
            yield content
        if written != info.file_size or checksum != info.CRC:
            raise BadFile(f"{_shown(info)} is damaged: its checksum differs", field="file")

    def _contents(self, info: ZipInfo, meter: Meter) -> Iterator[bytes]:
        if info.flag_bits & _IS_ENCRYPTED:
            raise BadFile(f"{_shown(info)} is encrypted: pack it without a password", field="file")
        if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise BadFile(f"{_shown(info)} is compressed in another way than deflate", field="file")
        compressed = self._compressed(info, meter)
        yield from compressed if info.compress_type == ZIP_STORED else _inflated(info, compressed)

    def _compressed(self, info: ZipInfo, meter: Meter) -> Iterator[bytes]:
        self._file.seek(info.header_offset)
        header = self._file.read(_LOCAL_HEADER)
        if len(header) < _LOCAL_HEADER or header[:4] != MARKS[0]:
            raise BadFile(f"{_shown(info)} is not where the zip archive says", field="file")
        name_and_extra = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        self._file.seek(info.header_offset + _LOCAL_HEADER + name_and_extra)
        left = info.compress_size
        while left:
            block = self._file.read(min(left, COMPRESSED_BLOCK))
            if not block:
                raise BadFile(f"the zip archive ends within {_shown(info)}", field="file")
            left -= len(block)
            meter.consumed += len(block)
            yield block


def _inflated(info: ZipInfo, compressed: Iterator[bytes]) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(wbits=-15)
    for block in compressed:
        while block and not unpacker.eof:
            try:
                content = unpacker.decompress(block, BLOCK)
            except zlib.error as error:
                raise BadFile(f"{_shown(info)} is damaged: {error}", field="file") from error
            if content:
                yield content
            block = unpacker.unconsumed_tail
    if not unpacker.eof:
        raise BadFile(f"{_shown(info)} is damaged: it ends early", field="file")


def _is_side_file(name: str) -> bool:
    return name.startswith(_SIDE_FILES) or name.rpartition("/")[2] in _SIDE_FILES


def _shown(info: ZipInfo) -> str:
    return repr(info.filename[:80])


class _Directory:
    """The file as `zipfile` sees it: it takes the whole directory into memory, so a large one is refused."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence == 0 and offset < 0:
            raise BadZipFile("its directory begins before the file")
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int = -1) -> bytes:
        if size > MAX_DIRECTORY:
            raise BadZipFile("its directory is too large")
        return self._file.read(MAX_DIRECTORY if size < 0 else size)

    def close(self) -> None:
        """The file belongs to the caller."""
