"""The secrets an installation needs, and how compose and Kubernetes take them. Pure: the random bytes are passed in."""

from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from typing import Final

WEBHOOK_KEY: Final = "webhook-key"
NAMES: Final = (
    WEBHOOK_KEY,
    "operator-token",
    "metrics-token",
    "postgres-password",
    "clickhouse-password",
    "redis-password",
    "grafana-password",
)
"""Keys of the Kubernetes Secret; the variables of compose are the same in capitals: `POSTGRES_PASSWORD`."""
_BYTES: Final = 32


def new_values(random_bytes: Callable[[int], bytes]) -> dict[str, str]:
    """Return a secret of 256 bits for each name: letters, digits, `-` and `_`, so that it can stand in a URL. The
    webhook key is a Fernet key, with its padding.
    """
    values = {name: urlsafe_b64encode(random_bytes(_BYTES)).decode() for name in NAMES}
    return {name: value if name == WEBHOOK_KEY else value.rstrip("=") for name, value in values.items()}


def env_file(values: Mapping[str, str]) -> str:
    """Return the text of compose's `.env`."""
    head = "# Made by `attrikit secrets init`. Keep it: without WEBHOOK_KEY, stored secrets cannot be read.\n"
    return head + "".join(f"{name.replace('-', '_').upper()}={value}\n" for name, value in values.items())


def kubernetes_manifest(values: Mapping[str, str], name: str) -> str:
    """Return a Secret called `name`, with the URLs of the stores that `evaluation.enabled` of the chart brings."""
    urls = {
        "postgres-url": f"postgresql+psycopg://attrikit:{values['postgres-password']}@{name}-postgres:5432/attrikit",
        "clickhouse-url": f"http://attrikit:{values['clickhouse-password']}@{name}-clickhouse:8123/attrikit",
        "redis-url": f"redis://:{values['redis-password']}@{name}-redis:6379/0",
    }
    lines = [f'  {key}: "{value}"\n' for key, value in (dict(values) | urls).items()]
    head = f"apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\ntype: Opaque\nstringData:\n"
    return head + "".join(lines)
