"""Check for packages of extras: `embedded`, which services of a cluster do without, and `tracing`."""

from importlib.util import find_spec


class NotInstalled(Exception):
    """Error: a package that not every installation needs is not here. The message says what to do."""


def require(package: str, instead: str) -> None:
    """Raise `NotInstalled` if the package cannot be imported. `instead`: the setting that makes it needless."""
    if find_spec(package) is None:
        raise NotInstalled(
            f"{package} is not installed here: set {instead}, or install `attrikit[embedded]`, "
            "which runs everything on one machine"
        )
