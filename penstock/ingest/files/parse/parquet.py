"""The rows of a Parquet file as CSV text, by row groups, in bounded memory. Needs the extra `parquet` (pyarrow).

Whole columns are turned into texts at once. Times with a zone are written in UTC, others as they are; what has a shape
of its own (lists, structures) is written as JSON. The header is line 1, the first row is line 2.
"""

import json
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from penstock.errors import InvalidInput
from penstock.ingest.files.parse.cell_text import ERROR_MARK, LINE_END, csv_line, number_text
from penstock.ingest.files.parse.stream import BadFile, Meter, check_ratio

MARK: Final = b"PAR1"
ROWS_AT_ONCE: Final = 4096
MAX_GROUP: Final = 1 << 30
"""Bytes of an unpacked row group: some of its columns may have to be in memory at once."""


def csv_text(file: BinaryIO, size: int, meter: Meter) -> Iterator[bytes]:
    """Yield the table as CSV. Raises `InvalidInput` when pyarrow is not installed, `BadFile` for the file's faults."""
    arrow = _pyarrow()
    try:
        yield from _blocks(arrow, file, size, meter)
    except arrow.ArrowException as error:
        raise BadFile(f"the Parquet file cannot be read: {str(error)[:300]}", field="file") from error


def _pyarrow() -> Any:
    try:
        import pyarrow.compute
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise InvalidInput(
            "this is a Parquet file, which is read by pyarrow: pip install 'penstock-events[parquet]'", field="file"
        ) from None
    return pyarrow


def _blocks(arrow: Any, file: BinaryIO, size: int, meter: Meter) -> Iterator[bytes]:
    table = arrow.parquet.ParquetFile(arrow.PythonFile(_Source(file), mode="r"), buffer_size=1 << 20, pre_buffer=False)
    groups = [table.metadata.row_group(number).total_byte_size for number in range(table.num_row_groups)]
    if groups and max(groups) > MAX_GROUP:
        raise BadFile(f"a row group of {max(groups)} bytes, more than {MAX_GROUP}: write smaller ones", field="file")
    yield csv_line(table.schema_arrow.names).encode()
    written = rows = 0
    for batch in table.iter_batches(batch_size=ROWS_AT_ONCE, use_threads=False):
        rows += batch.num_rows
        meter.consumed = size * rows // max(table.metadata.num_rows, 1)
        text = _text(arrow, batch)
        written += len(text)
        check_ratio(written, size, "Parquet")
        yield text


class _Source:
    """The file as pyarrow wants it. It is not pyarrow's to close."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.read = file.seek, file.read

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        pass


def _text(arrow: Any, batch: Any) -> bytes:
    compute = arrow.compute
    if not batch.num_rows or not batch.num_columns:
        return b""
    cells = [_quoted(compute, _texts(arrow, column)) for column in batch.columns]
    lines = compute.binary_join_element_wise(*cells, ",")
    ended = compute.binary_join_element_wise(lines, "", LINE_END)
    return b"".join(line.as_buffer().to_pybytes() for line in ended)


def _texts(arrow: Any, column: Any) -> Any:
    """The column as texts, empty where it has nothing."""
    types, type_ = arrow.types, column.type
    if types.is_dictionary(type_):
        column, type_ = column.dictionary_decode(), type_.value_type
    if types.is_timestamp(type_):
        texts = _moments(arrow, column)
    elif types.is_floating(type_) or types.is_nested(type_) or types.is_duration(type_):
        texts = arrow.array([_written(value) for value in column.to_pylist()], arrow.string())
    elif types.is_binary(type_) or types.is_large_binary(type_) or types.is_fixed_size_binary(type_):
        texts = arrow.array([_decoded(value) for value in column.to_pylist()], arrow.string())
    else:
        texts = column.cast(arrow.string())
    return arrow.compute.fill_null(texts, "")


def _moments(arrow: Any, column: Any) -> Any:
    """`2024-01-02 03:04:05.000000`, with Z when the file says in which zone."""
    zone = "Z" if column.type.tz else ""
    plain = column.cast(arrow.timestamp(column.type.unit)) if zone else column
    texts = plain.cast(arrow.string())
    # to the microsecond, as Postgres has it; digits beyond are cut off
    texts = arrow.compute.replace_substring_regex(texts, r"^([^.]*?)(\.\d{1,6})?\d*$", r"\1\2")
    texts = arrow.compute.replace_substring_regex(texts, r"\.0+$", "")
    return arrow.compute.binary_join_element_wise(texts, zone, "") if zone else texts


def _written(value: Any) -> str | None:
    if isinstance(value, float):
        return number_text(value)
    return value if value is None or isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def _decoded(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return f"{ERROR_MARK}bytes that are not UTF-8"


def _quoted(compute: Any, texts: Any) -> Any:
    """Each cell in quotes unless it is empty; line ends in it are line feeds."""
    texts = compute.replace_substring_regex(texts, "\r\n?", "\n")
    texts = compute.replace_substring(texts, '"', '""')
    needed = compute.match_substring_regex(texts, '[,"\n]')
    return compute.if_else(needed, compute.binary_join_element_wise('"', texts, '"', ""), texts)
