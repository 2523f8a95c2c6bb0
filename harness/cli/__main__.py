"""`python -m harness.cli`: the command, should its script not be on PATH."""

from harness.interpreter import leave_working_folder

leave_working_folder()

from harness.cli import main  # noqa: E402  what it loads is not to be looked for there

main()
