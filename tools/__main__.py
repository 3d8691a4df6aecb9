"""`python -m tools` is `trackbridge`."""

from tools.cli import main

main()
