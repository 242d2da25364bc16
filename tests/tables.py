"""The same table as the files in which shops keep one."""

import csv
import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import openpyxl
import pyarrow
import pyarrow.parquet

Rows = Sequence[Sequence[Any]]


def csv_file(rows: Rows) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([["" if cell is None else cell for cell in row] for row in rows])
    return text.getvalue().encode()


def xlsx_file(rows: Rows, **more: Rows) -> bytes:
    """`rows` are the first sheet's, `more` are further ones by name."""
    book = openpyxl.Workbook()
    for name, content in {"Sheet": rows, **more}.items():
        sheet = book["Sheet"] if name == "Sheet" else book.create_sheet(name)
        for row in content:
            sheet.append(row)
    return saved(book)


def saved(book: openpyxl.Workbook) -> bytes:
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def parquet_file(rows: Rows, types: Mapping[str, Any] | None = None, **options: Any) -> bytes:
    header, *body = rows
    columns = {
        name: pyarrow.array([row[place] for row in body], (types or {}).get(name)) for place, name in enumerate(header)
    }
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), file, **options)
    return file.getvalue()


def zip_file(files: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def workbook_of(sheet: str, *, strings: str = "", styles: str = "", rows_only: bool = True) -> bytes:
    """A workbook written by hand: `sheet` is what is in its one sheet's data."""
    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    kinds = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    relations = 'xmlns="http://schemas.openxmlformats.org/package/2006/relationships"'
    data = f"<worksheet {main}><sheetData>{sheet}</sheetData></worksheet>" if rows_only else sheet
    parts = {
        "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>',
        "_rels/.rels": f'<Relationships {relations}><Relationship Id="r" Type="{kinds}/officeDocument"'
        ' Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook {main} xmlns:r="{kinds}"><sheets>'
        '<sheet name="S" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f"<Relationships {relations}>"
        f'<Relationship Id="r1" Type="{kinds}/worksheet" Target="worksheets/sheet1.xml"/>'
        f'<Relationship Id="r2" Type="{kinds}/sharedStrings" Target="sharedStrings.xml"/>'
        f'<Relationship Id="r3" Type="{kinds}/styles" Target="/xl/styles.xml"/></Relationships>',
        "xl/sharedStrings.xml": f"<sst {main}>{strings}</sst>",
        "xl/styles.xml": f"<styleSheet {main}>{styles}</styleSheet>",
        "xl/worksheets/sheet1.xml": data,
    }
    return zip_file({name: part.encode() for name, part in parts.items()})
