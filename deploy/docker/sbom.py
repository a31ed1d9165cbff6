"""Print a bill of materials (CycloneDX 1.6, JSON) of the packages installed beside this interpreter."""

import json
import sys
from importlib.metadata import Distribution, distributions
from typing import Any


def component(package: Distribution) -> dict[str, Any]:
    name, version = package.metadata["Name"], package.version
    licence = (package.metadata.get_all("License-Expression") or [""])[0]
    found: dict[str, Any] = {
        "type": "library",
        "name": name,
        "version": version,
        "purl": f"pkg:pypi/{name.lower().replace('_', '-')}@{version}",
    }
    return found | ({"licenses": [{"expression": licence}]} if licence else {})


def bill(packages: list[Distribution]) -> dict[str, Any]:
    """Return the bill: one component each, ordered by name, so that the same packages give the same text."""
    components = sorted((component(package) for package in packages), key=lambda one: str(one["purl"]))
    return {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": components}


if __name__ == "__main__":
    json.dump(bill(list(distributions())), sys.stdout, indent=1)
