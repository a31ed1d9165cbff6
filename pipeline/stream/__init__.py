"""Runs the domain on Kafka: Faust app, table, group commit, recovery. `app.main(settings)` is a worker process."""
