"""The tables of one ClickHouse copied into another: of a server, or embedded, into a cluster or a server."""
