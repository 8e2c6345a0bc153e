"""`python -m concepthash`."""

from concepthash.cli import main

main()
