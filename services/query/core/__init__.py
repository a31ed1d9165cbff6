"""The tools of every resource: access to ClickHouse, SQL, parameters, cursors, lists, times and numbers."""
