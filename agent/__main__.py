"""`python -m agent` is `secondlook`. Shell."""

from agent.cli import main

main()
