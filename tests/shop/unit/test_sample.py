"""The sample is the published file, and stays it."""

import gzip
import hashlib

from shop.sample import FILE, LINES


def test_the_sample_is_whole_and_unchanged() -> None:
    text = gzip.decompress(FILE.read_bytes())
    assert text.count(b"\n") == LINES + 1
    assert hashlib.sha256(text).hexdigest() == "7ac7f4b5c7750c8e795a990b1e264dccfd69aa175f950017c94d509d5de0e811"


def test_the_sample_names_its_source_and_licence() -> None:
    about = FILE.with_name("README.md").read_text()
    assert "UCI Machine Learning Repository" in about
    assert "CC BY 4.0" in about
    assert "databricks/Spark-The-Definitive-Guide" in about
