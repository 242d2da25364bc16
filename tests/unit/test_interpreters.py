"""Where no Python can be run by another user, a test is skipped at home and fails in CI, with the way to mend it."""

import pwd
import subprocess
from typing import NoReturn

import pytest

from tests.interpreters import python_of

NOBODY = pwd.getpwnam("nobody")


@pytest.fixture(autouse=True)
def closed_homes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: object, **options: object) -> NoReturn:
        raise PermissionError

    monkeypatch.setattr(subprocess, "run", refused)


def test_at_home_it_is_a_skip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install python3"):
        python_of(NOBODY)


def test_in_ci_it_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="apt-get install python3"):
        python_of(NOBODY)
