#!/bin/sh
# The health check's command. A JVM for each check would be dear here; the port answers only once the broker is ready.
exec python3 -c 'import socket; socket.create_connection(("127.0.0.1", 9092), 3)'
