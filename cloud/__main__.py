"""`python -m cloud`. Shell."""

from cloud.cli import main

main()
