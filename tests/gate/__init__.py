"""How good the CPU's accuracy gate is: what it lets pass, what it catches, what it cannot see.

`nox -s gate_power` makes the baseline of recipes/lists/gate.yaml, holds fresh seeds and the planted
mutants against it, and writes reports/gate.md.
"""
