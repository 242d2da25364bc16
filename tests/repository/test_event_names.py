"""The docs know no names of events towards Inngest but those that the code has, the shop's among them."""

from tests.unit.relay.test_event_names import CODE, NAME, ROOT, literals


def test_docs_and_comments_know_no_other_names() -> None:
    known = {name for path in CODE for name in literals(path)}
    texts = [*CODE, *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    said = {name for path in texts for name in NAME.findall(path.read_text())}
    assert said <= known
