"""`python -m deploy.cli`: the command `attrikit`."""

from deploy.cli.main import main

main()
