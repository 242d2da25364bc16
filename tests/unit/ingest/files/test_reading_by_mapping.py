"""Options of a remembered mapping name columns as the file at hand does."""

from penstock.ingest.files.reading import _respelled
from penstock.ingest.files.remembered import header_key


def test_columns_are_respelled_wherever_options_name_them() -> None:
    said = {
        "mapping": {"Nr.": "id", "Extra": None, "other": "x"},
        "fields": {
            "key": {"columns": ["Nr.", "Extra"], "join": "Nr."},
            "status": {"column": "Extra", "values": {"Nr.": "a"}},
            "name": {"first": ["Nr.", "Extra"], "else": "Nr."},
        },
        "rows": [{"column": "Nr.", "in": ["Nr."], "blank": "above", "within": "Extra"}],
        "constants": {"currency": "Nr."},
        "delimiter": ";",
    }
    assert _respelled(said, {"Nr.": "NR", "Extra": "extra"}) == {
        "mapping": {"NR": "id", "extra": None, "other": "x"},
        "fields": {
            "key": {"columns": ["NR", "extra"], "join": "Nr."},
            "status": {"column": "extra", "values": {"Nr.": "a"}},
            "name": {"first": ["NR", "extra"], "else": "Nr."},
        },
        "rows": [{"column": "NR", "in": ["Nr."], "blank": "above", "within": "extra"}],
        "constants": {"currency": "Nr."},
        "delimiter": ";",
    }


def test_a_header_is_known_by_its_folded_names_in_any_order() -> None:
    assert header_key(["Order ID", "Größe", ""]) == header_key(["GRÖSSE", "order_id"])
    assert header_key(["a", "b"]) != header_key(["ab"])
    assert header_key([]) is None
    assert header_key(["", "--"]) is None
