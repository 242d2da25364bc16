"""What a file is, before anybody has said anything: its columns, how it would be read, its first rows, what to ask.

Looks at a `Sample` alone and writes nothing; a dry run says what would become of the rows. Where a question can be
asked there is one in place of an error.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from itertools import islice
from typing import Any, Final

from penstock.errors import InvalidInput
from penstock.ingest.files.options import Options
from penstock.ingest.files.parse.contents import contents
from penstock.ingest.files.parse.dialect import sniff
from penstock.ingest.files.parse.reader import read_batches
from penstock.ingest.files.parse.slow_path import RejectedRecord
from penstock.ingest.files.parse.stream import BadFile
from penstock.ingest.files.plan import Plan
from penstock.ingest.files.planning import make_plan
from penstock.ingest.files.questions import (
    Question,
    ask_dates,
    ask_decimal,
    ask_encoding,
    ask_missing,
    ask_sheet,
    ask_target,
    ask_unmapped,
    ask_words,
)
from penstock.ingest.files.reading import Reading, choose_reading
from penstock.ingest.files.rejects import shown_reject
from penstock.ingest.files.remembered import header_key, mapped_targets
from penstock.ingest.files.sample import ROWS, Sample, take_sample
from penstock.ingest.files.target import Target, find_target, target_names
from penstock.postgres import pool
from penstock.settings import Settings

SHOWN: Final = 20
EXAMPLES: Final = 3
HEAD: Final = 256 << 10


def describe_file(
    settings: Settings, content: bytes, *, target: str | None = None, options: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Columns, guesses, 20 rows, counts, questions; of at most 10,000 rows.

    Without `target` the one is taken whose fields the columns fit best. Raises `NotFound` for a target that there is
    not, `InvalidInput` for options that contradict themselves and `BadFile` for what cannot be read at all.
    """
    checked = Options.read(options)
    if checked.join:
        raise InvalidInput("a preview is of one file: a dry run joins further ones", field="join")
    if target is not None:
        find_target(target)
    asked: list[Question] = []
    try:
        return _described(settings, content, target, checked, asked)
    except InvalidInput as error:
        sheets = error.details.get("sheets")
        if isinstance(sheets, list):
            asked.append(ask_sheet(sheets))
            checked = Options.read({**checked.as_json(), "sheet": sheets[0]})
        elif (foreign := _not_utf8(content)) and checked.encoding is None and isinstance(error, BadFile):
            asked.append(ask_encoding(foreign))
            checked = Options.read({**checked.as_json(), "encoding": "windows-1252"})
        else:
            raise
    return _described(settings, content, target, checked, asked)


def _described(
    settings: Settings, content: bytes, wanted: str | None, options: Options, asked: Sequence[Question]
) -> dict[str, Any]:
    questions = list(asked)
    with contents(BytesIO(content), options.sheet) as file:
        guesses = _guesses(settings, take_sample(file, sniff(file, options)))
        target = find_target(wanted or guesses[0].target.name)
        if wanted is None and (
            not guesses[0].fits or [guess.score for guess in guesses[:2]].count(guesses[0].score) > 1
        ):
            questions.append(ask_target([guess.target.name for guess in guesses]))
        with pool.connection(settings) as connection:
            reading = choose_reading(connection, target.name, file, options)
        sample = take_sample(file, reading.dialect)
    plan, missing = _plan_of(settings, target, sample, reading)
    fields = plan.fields_of_columns if plan else {}
    if plan is None or not plan.is_table:
        fields = _recognised(target, sample, reading.options)
        missing = missing or sorted(plan.required - set(fields.values()) if plan else ())
    questions += ask_missing(sample, target, missing, [name for name, found in fields.items() if found])
    counts = _Counts()
    if plan:
        plan, about_dates = ask_dates(sample, plan)
        questions += [*about_dates, *ask_decimal(sample, plan, reading.options), *ask_words(sample, plan)]
        if not about_dates:
            counts = _counted(sample, plan)
    if reading.options.encoding is None and (foreign := _not_utf8(sample.file.getvalue())):
        questions.append(ask_encoding(foreign))
    questions += ask_unmapped(
        sample, target, fields, reading.options, [wanted["column"] for wanted in plan.rows] if plan else ()
    )
    return {
        "target": target.name,
        "targets": [guess.as_json() for guess in guesses],
        "columns": [_column(sample, name, fields.get(name)) for name in sample.columns],
        "plan": {**plan.described(), "remembered": reading.mapping_id} if plan else None,
        "options": reading.options.as_json(),
        "complete": sample.complete and len(sample.rows) < ROWS,
        "read": counts.read,
        "accepted": counts.accepted,
        "skipped": counts.skipped,
        "rejected": counts.rejected,
        "rows": [dict(row) for row in sample.rows[:SHOWN]],
        "rejects": [shown_reject(reject) for reject in counts.rejects],
        "questions": [question.as_json() for question in questions],
    }


@dataclass(frozen=True)
class _Guess:
    """How well a target's fields fit the columns. Files with these are known by a profile or a remembered mapping."""

    target: Target
    recognised: int
    missing: Sequence[str]
    is_known: bool

    @property
    def fits(self) -> bool:
        return self.is_known or (not self.missing and self.recognised > 0)

    @property
    def score(self) -> tuple[bool, bool, int]:
        return self.is_known, self.fits, self.recognised

    def as_json(self) -> dict[str, Any]:
        return {"target": self.target.name, "recognised": self.recognised, "missing": list(self.missing)}


@dataclass
class _Counts:
    read: int = 0
    accepted: int = 0
    skipped: int = 0
    rejected: int = 0
    rejects: list[RejectedRecord] = field(default_factory=list)


def _guesses(settings: Settings, sample: Sample) -> list[_Guess]:
    """All targets, the best first."""
    with pool.connection(settings) as connection:
        remembered = mapped_targets(connection, header_key(sample.dialect.header))
    found = []
    for name in target_names():
        target = find_target(name)
        fields = set(target.recognise(sample.columns, ()).values())
        needed = {item.name for item in target.fields if item.required} | {
            next((each for each in choice if each in fields), choice[0]) for choice in target.one_of
        }
        missing = sorted(needed - fields - {*target.defaults, *target.settings_defaults})
        is_known = name in remembered or target.profile_of(list(sample.columns)) is not None
        found.append(_Guess(target, len(fields), missing, is_known))
    return sorted(found, key=lambda guess: guess.score, reverse=True)


def _plan_of(settings: Settings, target: Target, sample: Sample, reading: Reading) -> tuple[Plan | None, Sequence[str]]:
    """The plan, or the required fields that no column is recognised as."""
    try:
        with reading.explained():
            return make_plan(target, sample.dialect, reading.options, from_settings=target.said_by(settings)), ()
    except InvalidInput as error:
        missing = error.details.get("missing")
        if not isinstance(missing, list):
            raise
        return None, missing


def _recognised(target: Target, sample: Sample, options: Options) -> dict[str, str | None]:
    taken = {name for name in options.mapping.values() if name} | set(options.constants)
    free = [name for name in sample.columns if name not in options.mapping]
    return {**target.recognise(free, taken), **options.mapping}


def _counted(sample: Sample, plan: Plan) -> _Counts:
    """What the parser says to the first rows. A record that the end of the sample cuts is not counted."""
    counts = _Counts()
    size = sample.file.seek(0, 2)
    with suppress(*(() if sample.complete else (BadFile,))):
        for parsed in read_batches(sample.file, plan, plan.dialect.body, plan.dialect.first_line):
            if parsed.reject and parsed.reject.outcome == "skipped":
                counts.skipped += 1
            elif parsed.reject and not (parsed.end >= size and not sample.complete):
                counts.rejected += 1
                counts.rejects += [parsed.reject] if len(counts.rejects) < SHOWN else []
            counts.accepted += parsed.records
            counts.read = counts.accepted + counts.skipped + counts.rejected
            if counts.read >= ROWS:
                break
    return counts


def _not_utf8(content: bytes) -> bytes:
    """Some of the text around the first byte that is not UTF-8; nothing if all of it is, or it is UTF-16."""
    try:
        content.decode()
    except UnicodeDecodeError as error:
        if b"\0" not in content[:HEAD]:
            before = content[max(0, error.start - 20) : error.start].split(b"\n")[-1]
            return before + content[error.start : error.start + 20].split(b"\n")[0]
    return b""


def _column(sample: Sample, name: str, found: str | None) -> dict[str, Any]:
    values = list(sample.values(name))
    return {
        "name": name,
        "field": found,
        "type": sample.type_of(name),
        "examples": list(islice(dict.fromkeys(value[:200] for value in values), EXAMPLES)),
        "blank": len(sample.rows) - len(values),
    }
