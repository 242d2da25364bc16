"""The same 5 GB as `import_5gb`, packed: every step unpacks again what the steps before have read."""

import zlib
from collections.abc import Iterator
from typing import BinaryIO, cast

from benchmarks.harness import Bench, Figure
from benchmarks.import_5gb import BYTES, Rows, measured, upload
from benchmarks.import_data import imports

BLOCK = 1 << 20


def run(bench: Bench) -> Iterator[Figure]:
    with imports(bench) as contest:
        import_id = upload(contest, cast(BinaryIO, _Packed(Rows(bench.scaled(BYTES)))), "large.csv.gz")
        yield measured(contest, import_id, "import_5gb_gzip")


class _Packed:
    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._packer = zlib.compressobj(1, wbits=31)
        self._rest = b""
        self._ended = False

    def read(self, size: int) -> bytes:
        parts, length = [self._rest], len(self._rest)
        while length < size and not self._ended:
            block = self._rows.read(BLOCK)
            self._ended = not block
            compressed = self._packer.compress(block) if block else self._packer.flush()
            parts.append(compressed)
            length += len(compressed)
        data = b"".join(parts)
        self._rest = data[size:]
        return data[:size]
