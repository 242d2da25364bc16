"""The commands that the shop adds to `penstock`, and how they refuse."""

from datetime import date

import pytest

from penstock.cli import parse
from shop import DOMAIN


def test_etl_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parse(["etl", "--help"], DOMAIN.commands)
    assert left.value.code == 0
    assert "penstock etl" in capsys.readouterr().out


def test_etl_takes_days() -> None:
    options = parse(["etl", "--from", "2010-12-01", "--to", "2010-12-31"], DOMAIN.commands)
    assert (options.from_day, options.to_day) == (date(2010, 12, 1), date(2010, 12, 31))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["etl", "--from", "2010-12-32"], "'2010-12-32' is not a day"),
        (["etl", "--from", "20101201"], "'20101201' is not a day"),
        (["etl", "--to", "2010-12-01"], "--to needs --from"),
        (["etl", "--from", "2010-12-02", "--to", "2010-12-01"], "is before"),
    ],
)
def test_wrong_days_are_exit_code_2(arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parse(arguments, DOMAIN.commands)
    assert left.value.code == 2
    assert reason in capsys.readouterr().err
