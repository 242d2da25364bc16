"""One file per figure; `python -m benchmarks [NAME …]` runs them, `make bench ONLY=name` one of them."""
