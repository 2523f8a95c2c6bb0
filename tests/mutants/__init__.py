"""Flaws planted one at a time in the harness's own source, which the tests must catch.

`pytest tests/mutants` plants each in this process and asks the one test that is named for it.
`nox -s mutants` plants each in a copy of the source, runs all tests that might see it, and writes
reports/mutants.md.
"""
