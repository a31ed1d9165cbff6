"""The command `attrikit`. `main` puts it together; a module for each group of subcommands."""
