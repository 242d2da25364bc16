"""Which files a profile takes for its own, and whether those have what it reads."""

from typing import Any

import pytest

from penstock.ingest.files.parse.sources import carried_columns, check_source, columns_of
from penstock.ingest.files.target import Profile, find_target, folded
from shop import DOMAIN
from tests.shop.imports.exports import HEADERS

PROFILES = [(target, profile) for target in DOMAIN.targets for profile in target.profiles if profile.name in HEADERS]


@pytest.mark.parametrize(("target", "profile"), PROFILES, ids=[profile.name for _, profile in PROFILES])
def test_a_profile_knows_its_own_header_and_no_other(target: Any, profile: Profile) -> None:
    for name, header in HEADERS.items():
        found = find_target(target.name).profile_of([column.upper() for column in header.split(",")])
        assert (found is profile) == (name == profile.name), name


def test_every_profile_that_is_written_down_has_a_file_here() -> None:
    assert sorted(profile.name for _, profile in PROFILES) == sorted(HEADERS)


@pytest.mark.parametrize(("target", "profile"), PROFILES, ids=[profile.name for _, profile in PROFILES])
def test_what_a_profile_needs_is_in_the_header_that_it_knows(target: Any, profile: Profile) -> None:
    """A file with the header that lacks a column of a filter, or of a required field, would be read wrongly."""
    required = [name for name in profile.fields if target.by_name[name].required or name in {"amount", "unit_price"}]
    sources = [check_source(name, profile.fields[name]) for name in required]
    needed = [wanted["column"] for wanted in profile.rows]
    needed += [column for source in sources if "first" not in source for column in columns_of(source)]
    needed += filter(None, carried_columns([*profile.fields.values(), *profile.rows]).values())
    assert {folded(column) for column in needed} <= profile.header
    columns = {folded(column) for column in HEADERS[profile.name].split(",")}
    optional = {"orderdate", "itemname", "billingcountry", "ordernumbermetadata"}
    named = {folded(column) for source in profile.fields.values() for column in columns_of(source)}
    assert named <= columns | optional
