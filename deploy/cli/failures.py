"""One-line messages for errors a user can cause or fix: an address that does not answer, a wrong password, a taken
port.

Anything else is a defect of ours, and keeps its traceback.
"""

from typing import Final

_LONGEST: Final = 300


def explain(error: BaseException) -> str | None:
    """Return the line for standard error; None if the error is a defect. Heavy modules are loaded here, when something
    has gone wrong.
    """
    return _ours(error) or _broker(error) or _databases(error) or _network_and_files(error)


def _ours(error: BaseException) -> str | None:
    """Return the error types whose messages are written for users."""
    from deploy.backup.manifest import BackupError
    from deploy.ledger.sources import StoreAway
    from deploy.local.process import LaunchError
    from deploy.table_copy.command import CopyRefused
    from pipeline.control import ControlPlaneError
    from pipeline.readmodel.progress import TopicsMissing
    from pipeline.runtime.clickhouse import ClickHouseLocked
    from pipeline.runtime.embedded import NotInstalled
    from pipeline.runtime.kafka.api_versions import BrokerTooOld
    from pipeline.runtime.kafka.lost_records import RecordsLost
    from pipeline.runtime.kafka.topics import TopicMismatch
    from pipeline.runtime.secret_box import SecretBoxError
    from schemas.clickhouse import MigrationError
    from services.query.exports.storage import StorageFailed

    told = (
        *(BackupError, BrokerTooOld, ClickHouseLocked, ControlPlaneError, CopyRefused, LaunchError, MigrationError),
        *(NotInstalled, RecordsLost, SecretBoxError, StorageFailed, StoreAway, TopicMismatch, TopicsMissing),
    )
    return one_line(error) if isinstance(error, told) else None


def _broker(error: BaseException) -> str | None:
    from aiokafka.errors import KafkaError

    return f"the broker does not answer: {one_line(error)}" if isinstance(error, KafkaError) else None


def _databases(error: BaseException) -> str | None:
    from sqlalchemy.exc import SQLAlchemyError

    from pipeline.runtime.clickhouse import ClickHouseError

    if isinstance(error, ClickHouseError):
        return f"ClickHouse cannot be used: {one_line(error)}"
    if isinstance(error, SQLAlchemyError):
        # What the database said, without the statement and its parameters.
        reason = getattr(error, "orig", None)
        said = type(error).__name__ if reason is None else one_line(reason)
        return f"the control plane's database cannot be used: {said}"
    return None


def _network_and_files(error: BaseException) -> str | None:
    import httpx

    from deploy.processes import StartupFailed

    if isinstance(error, StartupFailed):
        return "the HTTP server did not start; the lines above say why"
    if isinstance(error, (httpx.HTTPError, httpx.InvalidURL)):
        return f"the request failed: {one_line(error)}"
    if isinstance(error, TimeoutError):
        return f"no answer in time: {one_line(error)}"
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return where + _cut(error.strerror or one_line(error))
    return None


def one_line(error: BaseException) -> str:
    """Return the message without line breaks, cut to a readable length; the error's type name where it has none."""
    return _cut(" ".join(str(error).split())) or type(error).__name__


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST].rstrip() + " …"
