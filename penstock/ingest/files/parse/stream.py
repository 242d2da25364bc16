"""A stored file as a stream of UTF-8 bytes from any offset, in bounded memory.

Decompresses gzip (several members too), drops the byte order mark, and turns other encodings into UTF-8. A byte that
the encoding does not have becomes a byte that UTF-8 does not have, so that the line it is in is refused later, by
itself. Offsets count the resulting bytes. A plain UTF-8 file is entered by seeking; of others the part before the
offset is read again.
"""

import codecs
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from penstock.errors import InvalidInput

BLOCK = 1 << 20
COMPRESSED_BLOCK = 16 << 10
"""What is left of a block is copied at the end of each gzip member, and a member may have no more than 20 bytes."""
# Deflate packs at most 1,032 to 1; tables of text come to 20 to 1, very repetitive ones to 100 to 1. Without a floor:
# every line of a small bomb, too, may have to be kept as a reject.
BOMB_RATIO = 250

_BOMS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
ENCODINGS = {
    "utf-8": "utf-8",
    "utf-16-le": "utf-16-le",
    "utf-16-be": "utf-16-be",
    "windows-1252": "cp1252",
    "latin-1": "latin-1",
    "mac-roman": "mac-roman",
}


class BadFile(InvalidInput):
    """The file as a whole cannot be read; what came before the fault may have been."""

    slug = "bad-file"


@dataclass
class Meter:
    """How many bytes of the file as it is stored have been read."""

    consumed: int = 0


def blocks(
    file: BinaryIO, *, compressed: bool, encoding: str, bom: int, offset: int = 0, meter: Meter | None = None
) -> Iterator[bytes]:
    """Yield the content from `offset` on in blocks of about 1 MiB."""
    meter = meter or Meter()
    if not compressed and encoding == "utf-8":
        meter.consumed = bom + offset
        file.seek(bom + offset)
        yield from _raw(file, meter)
        return
    file.seek(0)
    content = _decompressed(file, meter) if compressed else _raw(file, meter)
    content = _skipped(content, bom)
    yield from _skipped(content if encoding == "utf-8" else _as_utf8(content, encoding), offset)


def byte_order_mark(head: bytes) -> tuple[str, int] | None:
    """The encoding that the first bytes declare, and how many bytes that takes."""
    return next(((name, len(mark)) for mark, name in _BOMS.items() if head.startswith(mark)), None)


def is_compressed(head: bytes) -> bool:
    return head.startswith(b"\x1f\x8b")


def decompressed_head(head: bytes, size: int) -> bytes:
    """The first bytes of a gzip file's content."""
    try:
        return zlib.decompressobj(wbits=31).decompress(head, size)
    except zlib.error as error:
        raise BadFile(f"not a gzip file after all: {error}", field="file") from error


def _raw(file: BinaryIO, meter: Meter) -> Iterator[bytes]:
    """Not a generator: its frame would hold a block for as long as others work on it."""

    def read() -> bytes:
        block = file.read(BLOCK)
        # what is read out of another file, such as a sheet, knows how far it is in that one
        meter.consumed = getattr(file, "consumed", meter.consumed + len(block))
        return block

    return iter(read, b"")


def _decompressed(file: BinaryIO, meter: Meter) -> Iterator[bytes]:
    """Blocks of 1 MiB, however the file is compressed: readers go back to the beginning of a record at each block."""
    waiting = bytearray()
    try:
        for content in _inflated(file, meter):
            waiting += content
            if len(waiting) >= BLOCK:
                yield bytes(waiting)
                waiting.clear()
    except BadFile:
        yield bytes(waiting)  # what came before the fault
        raise
    yield bytes(waiting)


def _inflated(file: BinaryIO, meter: Meter) -> Iterator[bytes]:
    """Unpack bit by bit: a small block of gzip can hold a very large one of zeros."""
    unpacker = zlib.decompressobj(wbits=31)
    written = 0
    started = False
    for block in _compressed(file, meter):
        while block:
            if unpacker.eof:
                block = block.lstrip(b"\0")  # padding after the last member
                if not block:
                    break
                unpacker = zlib.decompressobj(wbits=31)
            started = True
            try:
                content = unpacker.decompress(block, BLOCK)
            except zlib.error as error:
                raise BadFile(f"damaged gzip near byte {meter.consumed}: {error}", field="file") from error
            written += len(content)
            check_ratio(written, meter.consumed, "gzip")
            if content:
                yield content
            block = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
    if started and not unpacker.eof:
        raise BadFile(f"the gzip file ends early, after {meter.consumed} bytes", field="file")


def _compressed(file: BinaryIO, meter: Meter) -> Iterator[bytes]:
    for block in _raw(file, meter):
        for start in range(0, len(block), COMPRESSED_BLOCK):
            yield block[start : start + COMPRESSED_BLOCK]


def check_ratio(written: int, consumed: int, name: str) -> None:
    """Raise `BadFile` when `consumed` bytes have become more than they reasonably can."""
    if written > consumed * BOMB_RATIO:
        raise BadFile(
            f"{consumed} bytes of {name} unpack to more than {written}: more than {BOMB_RATIO} to 1, refused as a bomb",
            field="file",
        )


def _as_utf8(content: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(ENCODINGS[encoding])(_LENIENT.get(encoding, "surrogateescape"))
    for block in content:
        yield decoder.decode(block).encode("utf-8", "surrogatepass")
    try:
        rest = decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        rest = "\udcff"  # half a character at the end
    if rest:
        yield rest.encode("utf-8", "surrogatepass")


# surrogateescape knows single bytes only
_LENIENT = {"utf-16-le": "surrogatepass", "utf-16-be": "surrogatepass"}


def _skipped(content: Iterator[bytes], number: int) -> Iterator[bytes]:
    for block in content:
        if number >= len(block):
            number -= len(block)
            continue
        yield block[number:] if number else block
        number = 0
