"""How a caller says how a file is to be read: the same parameters for a file in a request and for an upload."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field

from penstock import json_codec
from penstock.ingest.files.options import MAPPINGS, TEXTS, DecimalSign, Format

MAX_OPTION: Final = 20_000

_Text = Annotated[str | None, Field(max_length=MAX_OPTION)]


class ImportOptions(BaseModel):
    """Checked here as far as HTTP goes; what the texts mean is checked by `imports`."""

    mapping: Annotated[_Text, Field(description='JSON: {"column of the file": "field"}.')] = None
    constants: Annotated[_Text, Field(description='JSON: {"field": "value of every row"}.')] = None
    defaults: Annotated[_Text, Field(description='JSON: {"field": "value where the file has none"}.')] = None
    dates: Annotated[_Text, Field(description='JSON: {"field": "strptime format"}.')] = None
    decimal: DecimalSign | None = None
    format: Format | None = None
    encoding: Annotated[str | None, Field(max_length=40)] = None
    delimiter: Annotated[str | None, Field(max_length=1)] = None
    header: bool | None = None
    remember: Annotated[
        bool | None,
        Field(description="False: use no remembered mapping, and remember none. By default, options are remembered."),
    ] = None
    sheet: Annotated[
        str | None, Field(max_length=100, description="A workbook's sheet: its name, or number from 1.")
    ] = None
    reject_limit: Annotated[int | None, Field(ge=0, le=2**31 - 1, description="Stop after so many rejects.")] = None

    def for_imports(self, form: Mapping[str, str] | None = None) -> dict[str, Any]:
        """As `imports` wants them; what a form says counts before what the address says."""
        said = self.model_dump(include={*MAPPINGS, *TEXTS, "header", "remember"}, exclude_none=True)
        said |= form or {}
        return said | {name: json_codec.loads(said[name], field=name) for name in MAPPINGS if name in said}
