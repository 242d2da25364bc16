"""What only somebody who knows the file can answer, each with the answers to choose from.

An answer is a part of the options: `set` is to be merged into them, objects by their keys.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from penstock.errors import InvalidInput
from penstock.ingest.files.meanings import meaning_of
from penstock.ingest.files.options import Options
from penstock.ingest.files.parse.dates import infer_date_formats
from penstock.ingest.files.parse.reader import read_texts
from penstock.ingest.files.parse.types import Choice as Words
from penstock.ingest.files.parse.types import Number, Timestamp
from penstock.ingest.files.plan import Column, Plan
from penstock.ingest.files.sample import Sample
from penstock.ingest.files.target import Target

ENCODINGS: Final = ("windows-1252", "latin-1", "mac-roman")
_COMMA: Final = re.compile(r"[+-]?(?:\d{1,3}(?:\.\d{3})+|\d+),\d{1,2}", re.ASCII)
_MANY: Final = 50


@dataclass(frozen=True)
class Choice:
    label: str
    set: Mapping[str, Any]


@dataclass(frozen=True)
class Question:
    """`code` says what it is about; `column` or `field` which one of them."""

    code: str
    text: str
    choices: Sequence[Choice]
    column: str | None = None
    field: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "text": self.text,
            "column": self.column,
            "field": self.field,
            "choices": [{"label": choice.label, "set": dict(choice.set)} for choice in self.choices],
        }


def ask_sheet(names: Sequence[str]) -> Question:
    return Question("sheet", "Which sheet has the table?", [Choice(name, {"sheet": name}) for name in names])


def ask_target(names: Sequence[str]) -> Question:
    """An answer sets the parameter `target`, which is not one of the options."""
    return Question("target", "What are these rows?", [Choice(name, {"target": name}) for name in names])


def ask_encoding(example: bytes) -> Question:
    """`example` is what is not UTF-8."""
    choices = []
    for encoding in ENCODINGS:
        try:
            shown = example.decode({"windows-1252": "cp1252"}.get(encoding, encoding))
        except UnicodeDecodeError:
            continue
        choices.append(Choice(f"{encoding}: {shown}", {"encoding": encoding}))
    return Question("encoding", "The file is not UTF-8. Which of these is right?", choices)


def ask_missing(sample: Sample, target: Target, missing: Sequence[str], used: Sequence[str]) -> list[Question]:
    """A column for each required field; those that nothing else uses first. What all rows may have in common, too."""
    free = [name for name in sample.columns if name and name not in used]
    return [
        Question(
            "missing-field",
            f"Which column is the {field}?",
            [
                *(Choice(f"{value} in all rows", {"constants": {field: value}}) for value in _in_common(target, field)),
                *(Choice(column, {"mapping": {column: field}}) for column in free[:_MANY]),
            ],
            field=field,
        )
        for field in missing
    ]


def _in_common(target: Target, field: str) -> Sequence[str]:
    return target.settings_defaults[field].examples if field in target.settings_defaults else ()


def ask_dates(sample: Sample, plan: Plan) -> tuple[Plan, list[Question]]:
    """The plan with the formats that are found, and a question for each column that may be read in two ways."""
    times = [
        (_name_in_file(plan, column), column.field)
        for column in plan.columns
        if column.field and isinstance(column.field_type, Timestamp) and column.field not in plan.dates
    ]
    found, asked = dict(plan.dates), []
    for column, field in times:
        others = {other: "%Y-%m-%d" for _, other in times if other != field}
        try:
            alone = infer_date_formats(sample.file, replace(plan, dates={**plan.dates, **others}))
        except InvalidInput:
            texts = read_texts(sample.file, plan, field) if plan.is_computed else sample.values(column)
            asked.append(_ask_date(next(texts, ""), column, field))
        else:
            found |= {field: alone.dates[field]} if field in alone.dates else {}
    return replace(plan, dates=found), asked


def ask_decimal(sample: Sample, plan: Plan, options: Options) -> Iterator[Question]:
    """Amounts such as 1.250,00 where a point is expected."""
    if "decimal" in options.as_json():
        return
    for column in plan.columns:
        if column.field and isinstance(column.field_type, Number):
            name = _name_in_file(plan, column)
            example = next((text for text in sample.values(name) if _COMMA.fullmatch(text)), None)
            if example is not None:
                choices = [Choice("a comma", {"decimal": ","}), Choice("a point", {"decimal": "."})]
                text = f"What is the decimal sign in {example}?"
                yield Question("decimal", text, choices, name, column.field)
                return


def ask_words(sample: Sample, plan: Plan) -> Iterator[Question]:
    """Words of a column that its field does not know, a question each; an answer has those that were given before."""
    for column in plan.columns:
        field, words = column.field, column.field_type
        source = plan.sources.get(str(field), {"column": _name_in_file(plan, column)})
        if field is None or not isinstance(words, Words) or not {"column", "values"} >= set(source):
            continue
        name = source["column"]
        found = list(dict.fromkeys(sample.values(name)))
        known = source.get("values") or {word: word for word in found if word in words.values}
        for word in [word for word in found if word not in known][:_MANY]:
            choices = [
                Choice(value, {"fields": {field: {"column": name, "values": {**known, word: value}}}})
                for value in words.values
            ]
            yield Question("word", f"What does {word[:60]!r} in {name!r} mean?", choices, name, field)


def ask_unmapped(
    sample: Sample, target: Target, fields: Mapping[str, str | None], options: Options, filtered: Collection[str]
) -> list[Question]:
    """Columns that would be passed over and whose names say that they matter; not those by which rows are filtered."""
    open_fields = [item.name for item in target.fields if item.name not in fields.values()]
    return [
        Question(
            "unmapped",
            f"The column {column!r} would be left out. What is it?",
            [
                *(Choice(field, {"mapping": {column: field}}) for field in open_fields[:_MANY]),
                Choice("not needed", {"mapping": {column: None}}),
            ],
            column,
        )
        for column in sample.columns
        if not fields.get(column)
        and column not in (*options.mapping, *filtered)
        and meaning_of(column)
        and next(sample.values(column), None) is not None
    ][:_MANY]


def _name_in_file(plan: Plan, column: Column) -> str:
    """Columns of a computed plan are called as their fields; here as the first that the field is made of."""
    return next((name for name, found in plan.fields_of_columns.items() if found == column.field), column.name)


def _ask_date(example: str, column: str, field: str) -> Question:
    match = re.match(r"(\d{1,2})([/.-])(\d{1,2})[/.-](\d{4})(.*)", example, re.ASCII)
    sign, rest = (match[2], match[5]) if match else ("/", "")
    clock = _clock_of(rest)
    choices = [
        Choice(label, {"dates": {field: f"{order.replace('/', sign)}{clock}"}})
        for label, order in (("day before month", "%d/%m/%Y"), ("month before day", "%m/%d/%Y"))
    ]
    return Question("date", f"How is {example} to be read?", choices, column, field)


def _clock_of(rest: str) -> str:
    match = re.fullmatch(r"([T ])\d{1,2}:\d{2}(:\d{2})?( ?)([AaPp][Mm])?", rest)
    if not match:
        return ""
    hours = "%I" if match[4] else "%H"
    return f"{match[1]}{hours}:%M{':%S' if match[2] else ''}{match[3] + '%p' if match[4] else ''}"
