"""Exports: reports as files. Beside the modules that every resource has:

columns            the columns of a file: names, SQL expressions, types
files, csv_text    the rows as bytes of a file
performance_rows   the performance report as rows
jobs, storage      work on the jobs, and where the files are kept
download_links     links that open without a key
lifespan           the background work as a part of the service
"""
