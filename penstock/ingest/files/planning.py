"""A plan made of a target, a file's dialect and what the caller says; what contradicts itself is refused here."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from penstock.errors import InvalidInput
from penstock.ingest.files.options import Options
from penstock.ingest.files.parse.dialect import Dialect
from penstock.ingest.files.parse.filters import check_filters
from penstock.ingest.files.parse.joins import Join
from penstock.ingest.files.parse.sources import carried_columns, check_source, columns_of, is_column, respelled
from penstock.ingest.files.parse.types import InvalidValue, Json, Timestamp
from penstock.ingest.files.plan import Plan, with_joined
from penstock.ingest.files.target import Profile, Table, Target, folded

Source = Mapping[str, Any]


@dataclass(frozen=True)
class _Said:
    """What the caller and the profile say, the caller first: constants and defaults are taken out of the sources."""

    mapping: Mapping[str, str | None]
    sources: Mapping[str, Source]
    rows: Sequence[Source]
    constants: Mapping[str, str]
    defaults: Mapping[str, str]
    dates: Mapping[str, str | Sequence[str]]
    profile_constants: Mapping[str, str]

    header: Sequence[str]

    @property
    def fixed(self) -> set[str]:
        """The fields that no column is to be looked for."""
        return {*self.sources, *self.constants} | {field for field in self.mapping.values() if field}


def make_plan(
    target: Target,
    dialect: Dialect,
    options: Options,
    joins: Sequence[Join] = (),
    from_settings: Mapping[str, str] | None = None,
) -> Plan:
    """Match columns to fields; raises `InvalidInput` that names what is missing, unknown or given twice.

    `from_settings` is what `Target.said_by` gave when the import was asked for.
    """
    check_names(target, options)
    header = list(with_joined(dialect.header, joins))
    _check_joins(target, dialect, joins)
    profile = target.profile_of(header)
    said = _said(options, profile, header)
    _check_columns(said)
    carried_columns([*said.sources.values(), *said.rows])
    sources = _sources_of(target, dialect, said, is_joined=bool(joins))
    plan = Plan(
        target.name,
        dialect,
        tuple(_fields_of(target, dialect, said, sources)),
        {},
        {**target.defaults, **said.defaults},
        said.dates,
        options.decimal,
        profile.name if profile else None,
        {key: field for key, field in options.mapping.items() if field} if not header else {},
        sources,
        [dict(wanted) for wanted in said.rows],
        options.zone or (profile.zone if profile else None),
        joins,
        also=options.also,
    )
    of_profile = {name: value for name, value in said.profile_constants.items() if name not in plan.fields}
    constants = {**of_profile, **said.constants}
    last = {name: value for name, value in (from_settings or {}).items() if name not in constants}
    plan = replace(plan, constants=constants, defaults={**last, **plan.defaults})
    _check_complete(plan, header)
    return _with_canonical_values(plan)


def _said(options: Options, profile: Profile | None, header: Sequence[str]) -> _Said:
    elsewhere = {*options.mapping.values(), *options.constants, *options.fields}
    of_profile, rows = _of_profile(profile, header) if profile else ({}, [])
    sources = {name: source for name, source in of_profile.items() if name not in elsewhere} | dict(options.fields)
    dates = {name: written for name, written in profile.dates.items() if name not in elsewhere} if profile else {}
    constants = {name: source["constant"] for name, source in sources.items() if "constant" in source}
    defaults = {name: source["default"] for name, source in sources.items() if "default" in source}
    return _Said(
        options.mapping,
        {name: _without_default(source) for name, source in sources.items() if name not in constants},
        [*rows, *options.rows],
        {**constants, **options.constants},
        {**defaults, **options.defaults},
        {**dates, **options.dates},
        profile.constants if profile else {},
        header,
    )


def _of_profile(profile: Profile, header: Sequence[str]) -> tuple[dict[str, Source], list[dict[str, Any]]]:
    """Its sources and filters, with columns called as in this file; sources without the columns that are not there."""
    now = {folded(column): column for column in reversed(header)}
    sources = {name: check_source(f"fields.{name}", source) for name, source in profile.fields.items()}
    rows = check_filters("rows", profile.rows)
    named = [*(name for source in sources.values() for name in columns_of(source))]
    named += [each[key] for each in [*sources.values(), *rows] for key in ("column", "within") if key in each]
    spelled = {name: now[folded(name)] for name in named if folded(name) in now}
    found: dict[str, Source] = {}
    for name, source in sources.items():
        there = [column for column in columns_of(source) if column in spelled]
        if "first" in source and there:
            found[name] = respelled({**source, "first": there}, spelled)
        elif len(there) == len(columns_of(source)):
            found[name] = respelled(source, spelled)
    return found, respelled(rows, spelled)


def _without_default(source: Source) -> Source:
    return {key: value for key, value in source.items() if key != "default"}


def check_names(target: Target, options: Options) -> None:
    """Raise `InvalidInput` for a field that the target does not have, and for a date format of one without times."""
    said: list[tuple[str, Sequence[str | None]]] = [
        ("mapping", list(options.mapping.values())),
        ("fields", list(options.fields)),
        ("constants", list(options.constants)),
        ("defaults", list(options.defaults)),
        ("dates", list(options.dates)),
    ]
    for option, names in said:
        for name in names:
            if name is not None and name not in target.by_name:
                known = ", ".join(target.by_name)
                raise InvalidInput(f"{target.name} has no field {name[:80]!r}; it has {known}", field=option)
    _check_variants(target, options)
    for place, entry in enumerate(options.join):
        if "sha256" not in entry:
            raise InvalidInput(f"{entry['file'][:80]} was not sent", field=f"join.{place}.file")
    for name in options.dates:
        if not isinstance(target.by_name[name].field_type, Timestamp):
            raise InvalidInput(f"{name} is not a time: no format is needed", field="dates")
    for name, source in options.fields.items():
        if "rest" in source and not isinstance(target.by_name[name].field_type, Json):
            raise InvalidInput("the rest is a JSON object, which this field is not", field=f"fields.{name}.rest")


def _check_variants(target: Target, options: Options) -> None:
    for name in options.also:
        if name not in target.variants:
            known = f"; it knows {', '.join(target.variants)}" if target.variants else ""
            raise InvalidInput(f"{target.name} knows no rows called {name[:80]!r}{known}", field="also")


def _check_joins(target: Target, dialect: Dialect, joins: Sequence[Join]) -> None:
    """Of a table the columns of a key must be there, in the file itself or in one that is joined before."""
    if joins and isinstance(target.into, Table):
        raise InvalidInput("files are joined for targets that become events; this one is a plain table", field="join")
    known = list(dialect.header)
    for place, join in enumerate(joins):
        for name in join.on if dialect.header else ():
            if name not in known:
                raise InvalidInput(
                    f"the file has no column {name[:80]!r}; it has {_listed(known)}", field=f"join.{place}.on"
                )
        twice = next((name for name in join.columns if name in known), None)
        if twice is not None:
            raise InvalidInput(f"there is a column {twice[:80]!r} already", field=f"join.{place}.take")
        known += join.columns


def _check_columns(said: _Said) -> None:
    """Of a table every column that is named must be there; the keys of JSON records show with each record."""
    named = [("mapping", name) for name in said.mapping]
    named += [(f"fields.{field}", name) for field, source in said.sources.items() for name in columns_of(source)]
    named += [(f"rows.{place}", wanted["column"]) for place, wanted in enumerate(said.rows)]
    named += [("within", each["within"]) for each in [*said.sources.values(), *said.rows] if "within" in each]
    for option, name in named if said.header else ():
        if name not in said.header:
            raise InvalidInput(f"the file has no column {name[:80]!r}; it has {_listed(said.header)}", field=option)


def _with_starts(dialect: Dialect, said: _Said) -> dict[str, Source]:
    """The sources; of a table a path begins in a column, by its name or, counted from 0, its place."""
    found = dict(said.sources)
    for field, source in said.sources.items() if said.header else ():
        if "path" in source:
            found[field] = {**source, "from": _start_of(dialect, said, f"fields.{field}.path", source["path"])}
    return found


def _start_of(dialect: Dialect, said: _Said, option: str, path: str) -> str:
    if not dialect.is_arrays:
        raise InvalidInput("a path leads into JSON, and this file has columns", field=option)
    start, header = path.split(".")[0], dialect.header
    if start in said.header:
        return start
    if start.isascii() and start.isdigit() and int(start[:9]) < len(header):
        place = int(start[:9])
        return header[place] or f"column_{place + 1}"
    raise InvalidInput(
        f"the records have no column {start[:80]!r}; they have {_listed(header)}, or a place from 0 on",
        field=option,
    )


def _fields_of(target: Target, dialect: Dialect, said: _Said, sources: Mapping[str, Source]) -> Sequence[str | None]:
    if sources:
        return [item.name for item in target.fields if item.name in sources]
    if dialect.header:
        by_column = _by_column(target, said)
        return [by_column.get(name) for name in dialect.header]
    # of JSON records every field is looked for, under its own name, its synonyms or what the mapping says
    return [item.name for item in target.fields if item.name not in said.constants]


def _by_column(target: Target, said: _Said) -> dict[str, str | None]:
    """{column: field} as the mapping, plain sources and the names say."""
    plain = {source["column"]: name for name, source in said.sources.items() if is_column(source)}
    clash = next((name for name in plain if name in said.mapping), None)
    if clash is not None and not said.mapping[clash]:
        raise InvalidInput(f"{clash[:80]!r} is left out by the mapping", field=f"fields.{plain[clash]}")
    used = {
        *said.mapping,
        *(name for source in said.sources.values() if "column" in source for name in columns_of(source)),
    }
    free = [name for name in said.header if name not in used]
    by_column = {**target.recognise(free, said.fixed), **plain, **said.mapping}
    fields = [field for field in by_column.values() if field]
    twice = [field for field in fields if fields.count(field) > 1]
    if twice:
        raise InvalidInput(f"two columns are mapped to {twice[0]}", field="mapping")
    both = [field for field in fields if field in said.constants]
    if both:
        raise InvalidInput(f"{both[0]} has a column and a constant", field="constants")
    return by_column


def _sources_of(target: Target, dialect: Dialect, said: _Said, *, is_joined: bool) -> dict[str, Source]:
    """What each field is made of, where COPY cannot take the file's columns as they are; else nothing."""
    if not is_joined and not _needs_sources(dialect, said):
        return {}
    found = _with_starts(dialect, said)
    if dialect.header:
        by_column = _by_column(target, said)
        found = {field: {"column": column} for column, field in by_column.items() if field} | found
    else:
        found |= {field: {"column": key} for key, field in said.mapping.items() if field and field not in found}
        found = {
            item.name: {"any": [item.name, *item.synonyms]}
            for item in target.fields
            if item.name not in found and item.name not in said.constants
        } | found
    left_out = [[column] for column, field in said.mapping.items() if field is None]
    taken = [[name] for source in found.values() for name in columns_of(source)]
    taken += [source["any"] for source in found.values() if "any" in source]
    return {
        name: {**source, "without": [*left_out, *taken]} if "rest" in source else source
        for name, source in found.items()
    }


def _needs_sources(dialect: Dialect, said: _Said) -> bool:
    columns = [name for source in said.sources.values() for name in columns_of(source)]
    columns += [column for column, field in said.mapping.items() if field]
    return (
        dialect.is_arrays
        or bool(said.rows)
        or not all(map(is_column, said.sources.values()))
        or len(set(columns)) < len(columns)
        or bool(said.sources and not dialect.header)
    )


def _check_complete(plan: Plan, header: list[str]) -> None:
    if not plan.is_table:
        return
    idle = [name for name in plan.dates if name not in plan.fields]
    if idle:
        raise InvalidInput(f"no column is recognised as {idle[0]}: say which it is", field="dates")
    missing = sorted(plan.required - set(plan.fields))
    if missing:
        raise InvalidInput(
            f"no column is recognised as {', '.join(missing)}; the file has {_listed(header)}: say which it is"
            + "".join(_other_ways(plan.target, missing)),
            field="mapping",
            missing=missing,
        )


def check_unsaid(plan: Plan, given: Collection[str]) -> None:
    """Raise `InvalidInput` for a field that the settings could say, if they do not and records give others alone."""
    missing = sorted(name for name in plan.target.settings_defaults if name in plan.required and name not in given)
    if missing:
        raise InvalidInput(
            f"no key is recognised as {', '.join(missing)}: say which it is"
            + "".join(_other_ways(plan.target, missing)),
            field="mapping",
            missing=missing,
        )


def _other_ways(target: Target, missing: Sequence[str]) -> Iterator[str]:
    """How else a field may be said that is the same in all rows."""
    for name, each in target.settings_defaults.items():
        if name in missing:
            example = each.examples[0]
            yield (
                f", or one {name} for all rows with `--constant {name}={example}` (over HTTP"
                f' `constants={{"{name}": "{example}"}}`), or for all files with {each.variable}'
            )


def _with_canonical_values(plan: Plan) -> Plan:
    """Constants and defaults are checked as if they were in the file."""

    def checked(option: str, values: Mapping[str, str]) -> dict[str, str]:
        try:
            return {name: plan.field_type_of(name).read(value) for name, value in values.items()}
        except InvalidValue as error:
            raise InvalidInput(f"a value is {error}", field=option) from error

    return replace(plan, constants=checked("constants", plan.constants), defaults=checked("defaults", plan.defaults))


def _listed(header: Sequence[str]) -> str:
    return ", ".join(name[:60] for name in header[:20]) + (" …" if len(header) > 20 else "")
