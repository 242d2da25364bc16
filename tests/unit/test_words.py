"""Retired words are in no code, message or page: HOUSE's table of names, and plain present-day English.

A failure names file and line and says what to write. Where a retired word is right, `ALLOWED` says why; one that
nothing needs any more fails too. What is quoted from elsewhere and the tests themselves are not searched.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
SEARCHED: Final = (
    "README.md", "docs/*.md", "Makefile", ".env.example", "pyproject.toml",
    "app/**/*.py", "functions/**/*.py", "shop/**/*.py", "penstock/**/*.py", "penstock/**/*.tmpl", "benchmarks/**/*.py",
    "penstock/http/dashboard/*.js", "penstock/http/dashboard/*.html",
    "supabase/migrations/*.sql", "supabase/tests/*.sql", "supabase/*.sql", "supabase/*.toml",
    "supabase/functions/**/*.ts",
)  # fmt: skip
DOCS: Final = ("README.md", "docs/*.md")
HTTP: Final = ("penstock/http/**", "shop/**")
IMPORTS: Final = ("penstock/ingest/files/**", "docs/imports.md")


@dataclass(frozen=True)
class Retired:
    """`pattern` is searched without case, unless it has a capital letter; `instead` is what to write."""

    pattern: str
    instead: str
    where: tuple[str, ...] = SEARCHED

    @cached_property
    def compiled(self) -> re.Pattern[str]:
        return re.compile(self.pattern, 0 if re.search(r"[A-Z]", self.pattern) else re.IGNORECASE)


RETIRED: Final = (
    # plain present-day English
    Retired(r"\b(?:stands?|stood)\b(?!-)", "is, appears"),
    Retired(r"\btold\b", "published (of events), shown, reported"),
    Retired(r"\btell(?:s|ing)?\b(?!.{0,12} apart|\()", "publish (of events), show, say, report"),
    Retired(r"\bwhoever\b", "anybody who, a caller that"),
    Retired(r"\banew\b", "again"),
    Retired(r"\bl(?:ie|ies|ay|ying)\b", "is, are"),
    Retired(r"(?<!there )\b(?:is|are|was|were|be) no (?!longer|more|other)", "is not a, must be a"),
    Retired(r"\b(?:hold|holds|held|holding) up\b", "block, delay"),
    # names
    Retired(r"\bsafe[ _]position\b", "high-water mark"),
    Retired(r"\bpublished floor\b|\bhold_floor\b", "append floor, publish_floor"),
    Retired(r"\bopen_streams\b|\block_heads\b|\bhead rows?\b|\bheads\b", "stream row, reserve_versions, lock_streams"),
    Retired(r"\bvet(?:s|ted|ting)?\b|\bvet_event\b|\banswer_retry\b", "validate, validate_event, resolve_duplicate"),
    Retired(r"\btwins?\b", "concurrent duplicate"),
    Retired(r"\bWaker\b|\bwoken\b|\bwaking\b|\bwake(?:s|-up)?\b", "Debouncer, notify, notified"),
    Retired(r"\bannounced?\b", "relay_after, send_after; published, sent"),
    Retired(r"\bcommanding\b|\badvancing\.py\b", "read_your_writes, projection_function"),
    Retired(r"\bstride\b|\bput_in_place\b", "batch_size, cut_over"),
    Retired(r"\bfacts?\b|\bFacts\b|\bappend_facts\b", "event, EventMapping, append_imported_events"),
    Retired(r"\bbirths?\b", "new stream"),
    Retired(r"\bfates?\b", "outcome"),
    Retired(r"\bkinds?\b", "field type", IMPORTS),
    Retired(r"\blanes?\b", "fast path, slow path, connection", (*IMPORTS, "penstock/postgres/**")),
    Retired(r"\bspans?\b|\bpieces?\b|\bchunks?\b", "batch, record", (*IMPORTS, "penstock/event_store/**")),
    Retired(r"\bodd\b|\bjudge[ds]?\b|\b(?:Judge|Refused|Reject)\(", "SuspectRecord, parse, RejectedRecord", IMPORTS),
    Retired(r"\blayout\b|\bpacked\b|\bsettle_dates\b", "dialect, compressed, infer_date_formats", IMPORTS),
    Retired(r"\bsettle[ds]?\b|\bsettled_at\b", "processed, finished, processed_at"),
    Retired(r"\baccounts?\b", "counts"),
    Retired(r"\bsafe_cell\b|\bverbs\.py\b", "escape_formula, api.py"),
    Retired(r"\b_Lane\b|\b_Turn\b|\bPATIENCE\b", "connection, request, acquire timeout"),
    Retired(r"\bstands_alone\b|\btranslated\(\)", "in_autocommit, translate_errors()"),
    Retired(r"\bshort[_ ]cut\b|\benvelope\b|\bneeds\(", "fast_path, middleware, requires", HTTP),
    Retired(r"\bMeaning\b|\breceive-webhook\b", "MappedEvent, drain_inbox"),
    Retired(r"\bleashed\b|\bpast_proxies\b", "die_with_parent, loopback_no_proxy"),
    Retired(r"\breaders?\b", "subscription", DOCS),
)  # fmt: skip


@dataclass(frozen=True)
class Allowed:
    """The retired words in lines with `text` of files that match `files` are right, because of `reason`."""

    files: str
    text: str
    reason: str


ALLOWED: Final = (
    Allowed("penstock/ingest/files/**", '"facts"', "a count in the HTTP answer of an import, which stays"),
    Allowed("supabase/migrations/*", "wake", "`details.wakes` of a run is part of an HTTP answer"),
    Allowed("penstock/pipelines/runs.py", "wake", "`details.wakes` of a run is part of an HTTP answer"),
    Allowed("**", "record_wake", "`details.wakes` of a run is part of an HTTP answer"),
    Allowed("README.md", "no account.", "an account at a service"),
    Allowed("docs/event-store.md", "```python reader", "the name of an example"),
    Allowed("penstock/local/inngest_messages.py", "(fn|env|account)", "a scope in Inngest's protocol"),
)


def test_no_retired_word_is_left() -> None:
    found = [
        f"{path}:{number}: write {retired.instead}: {line.strip()[:120]}"
        for path, number, line, retired in _uses()
        if not any(_covers(allowed, path, line) for allowed in ALLOWED)
    ]
    assert not found, "\n" + "\n".join(found)


def test_every_allowed_use_is_needed() -> None:
    uses = list(_uses())
    idle = [each for each in ALLOWED if not any(_covers(each, path, line) for path, _, line, _ in uses)]
    assert idle == []


def test_each_pattern_finds_its_word() -> None:
    words = "stands told tells whoever anew lies twin fact fate woken account settled"
    assert all(any(retired.compiled.search(word) for retired in RETIRED) for word in words.split())
    assert not any(retired.compiled.search("there is no stream, and it is no longer asked for") for retired in RETIRED)


def _covers(allowed: Allowed, path: str, line: str) -> bool:
    return fnmatch(path, allowed.files) and allowed.text in line


def _uses() -> Iterator[tuple[str, int, str, Retired]]:
    for path in sorted({path for pattern in SEARCHED for path in ROOT.glob(pattern) if "vendor" not in path.parts}):
        name = path.relative_to(ROOT).as_posix()
        applying = [each for each in RETIRED if each.where is SEARCHED or any(fnmatch(name, it) for it in each.where)]
        text = path.read_text(encoding="utf-8")
        present = [each for each in applying if each.compiled.search(text)]
        for number, line in enumerate(text.splitlines() if present else (), 1):
            yield from ((name, number, line, each) for each in present if each.compiled.search(line))
