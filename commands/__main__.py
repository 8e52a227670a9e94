"""`python -m euromine.commands` is the `euromine` command."""

from . import main

main()
