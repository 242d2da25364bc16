"""Every migration follows one idiom: read here from its text, since the catalogs do not know order and wording.

After a table: its comment, its columns' comments, row level security and policies, the revoke, the grants. After a
function: its comment, the revoke, the grant if anybody but the owner may call it.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.postgres.migrations import REPOSITORY as MIGRATIONS

FILES = sorted(MIGRATIONS.glob("*.sql"))
PARTS = re.compile(
    r"(?P<comment>--[^\n]*)|(?P<body>\$(\w*)\$.*?\$\3\$|\bbegin atomic\b.*?^end(?=;))"
    r"|(?P<string>'(?:[^']|'')*')|(?P<end>;)",
    re.DOTALL | re.MULTILINE,
)
TABLE_REVOKE = "revoke all on {} from public, anon, authenticated, service_role"
FUNCTION_REVOKE = "revoke execute on function {} from public, anon, authenticated"


def statements(text: str) -> list[str]:
    """The statements of a migration, each on one line, without comments and bodies."""
    found, written, start = [], "", 0
    for part in PARTS.finditer(text):
        written += text[start : part.start()]
        start = part.end()
        if part["end"]:
            found.append(" ".join(written.split()))
            written = ""
        elif part["string"]:
            written += part[0]
    return found


def blocks(path: Path, opening: str) -> Iterator[tuple[str, list[str]]]:
    """What is created, by name, with the statements that follow it."""
    found = statements(path.read_text(encoding="utf-8"))
    for place, statement in enumerate(found):
        if match := re.match(opening, statement):
            yield match[1], found[place:]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_file_says_its_owner_and_what_it_is_for(path: Path) -> None:
    assert re.fullmatch(r"\d{14}_(penstock|[a-z]+)_[a-z_]+\.sql", path.name)
    assert path.read_text(encoding="utf-8").startswith("-- ")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_tables_and_views_have_their_comments_rights_and_policies_beside_them(path: Path) -> None:
    for name, following in blocks(path, r"create (?:unlogged )?(?:table|view|materialized view) ([\w.]+)"):
        kind = following[0].split(name)[0].replace("unlogged ", "").removeprefix("create ").strip()
        rest = [each for each in following[1:] if not re.match(r"create (unique )?index|alter sequence", each)]
        assert rest.pop(0).startswith(f"comment on {kind} {name} is "), name
        while rest[0].startswith(f"comment on column {name}."):
            rest.pop(0)
        if kind == "table":
            assert rest.pop(0) == f"alter table {name} enable row level security"
        while re.match(rf"create policy \w+ on {name} ", rest[0]):
            rest.pop(0)
        assert rest.pop(0) == TABLE_REVOKE.format(name)
        assert re.fullmatch(rf"grant [a-z, ]+ on {name} to service_role(, analyst)?", rest.pop(0)), name


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_functions_have_their_comment_and_rights_beside_them_and_state_volatility_and_path(path: Path) -> None:
    for name, following in blocks(path, r"create function ([\w.]+)"):
        head = following[0]
        assert re.search(r" language (sql|plpgsql) (volatile|stable|immutable)\b", head), name
        assert " set search_path = ''" in head, name
        comment = re.match(rf"comment on function ({re.escape(name)}\(.*?\)) is ", following[1])
        assert comment, name
        assert following[2] == FUNCTION_REVOKE.format(comment[1])
        for grant in following[3:]:
            if f" on function {name}(" in grant:
                assert grant is following[3]
                assert re.fullmatch(r"grant execute on function .* to service_role(, analyst)?", grant)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_comment_says_why_a_function_has_its_owners_rights(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if re.search(r"^security definer$", text, re.MULTILINE):
        assert re.search(r"^-- `security definer`", text, re.MULTILINE)


def test_the_package_comes_first_and_needs_nothing_of_the_shop() -> None:
    ours = [path for path in FILES if "_penstock_" in path.name]
    assert ours == FILES[: len(ours)]
    for path in ours:
        assert "shop." not in path.read_text(encoding="utf-8"), path.name
