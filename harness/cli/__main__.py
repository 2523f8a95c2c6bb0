"""`python -m harness.cli`: the command, for use when its script is not on PATH."""

from harness.interpreter import leave_working_folder

leave_working_folder()

from harness.cli import main  # noqa: E402  imports must not search the working folder

main()
