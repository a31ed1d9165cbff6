"""Reports as files. `requests` says what can be asked for, `columns` and `sources` what is read, `files` how it is
written; `jobs` does it and `storage` keeps it, `routes` is where it is asked for."""
