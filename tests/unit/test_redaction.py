import pytest

from penstock.redaction import LONGEST_SECRET, MAX_TEXT, error_text, redact

SECRET = "hunter2hunter2"


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://penstock:{SECRET}@db.example:6543/postgres",
        f"postgresql://penstock:{SECRET}@x@db.example:6543/postgres",
        f"connection failed: host=db password={SECRET} user=x",
        f"Authorization: Bearer {SECRET}",
        f"https://x.supabase.co/storage/v1/object/upload/sign/a?token={SECRET}",
        f"https://x.supabase.co/a?signature={SECRET}&b=1",
        f"POST https://inn.gs/e/{SECRET} answered 401",
        f"the key sb_secret_{SECRET} is not known",
        f"whsec_{SECRET} is not base64",
        f"signkey-prod-{SECRET}",
        f'invalid percent-encoded token: "{SECRET}%"',
        f"apikey: {SECRET}",
    ],
)
def test_secrets_do_not_pass(text: str) -> None:
    assert SECRET not in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "stream order/536365 is at version 3, not at the expected 2",
        'password authentication failed for user "penstock"',
        "Postgres cannot be reached: connection to server at 10.0.0.1, port 5432 failed",
        "items[0].quantity: 2.5 is not a whole number",
    ],
)
def test_other_texts_pass_as_they_are(text: str) -> None:
    assert redact(text) == text


def test_an_error_is_one_line_with_its_kind() -> None:
    assert error_text(ValueError("two\n lines\x00")) == "ValueError: two lines\\0"
    assert error_text(TimeoutError()) == "TimeoutError"


def test_a_long_text_is_cut() -> None:
    assert len(redact("x" * 10_000)) == MAX_TEXT


@pytest.mark.parametrize("length", range(20))
def test_a_secret_that_the_cut_falls_into_does_not_pass(length: int) -> None:
    """After another secret, which leaves so much room that the place of the cut is shown."""
    before = f"password={'y' * 6000} "
    before += "x " * ((MAX_TEXT + LONGEST_SECRET - len(before) - 40) // 2) + "x" * (length + 1) + " "
    text = redact(f"{before}postgresql://penstock:{SECRET}{'z' * 1000}@host")
    assert "hunter" not in text
    assert text.endswith("x …")


def test_quoted_and_json_secrets_do_not_pass() -> None:
    assert SECRET not in redact(f'password=\'{SECRET}\' and {{"token": "{SECRET}"}}')


def test_only_the_beginning_of_a_text_is_read() -> None:
    """So that its cost does not depend on who wrote it."""
    assert redact(f"said password={'y' * 20_000} and more") == "said …"
