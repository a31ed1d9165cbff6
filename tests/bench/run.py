"""`make bench`: every figure in one run, as JSON lines while it goes and a table at the end.

`ARGS="gateway stream"` runs only the parts named. It fails where a figure is greater than it may be. Figures are only
comparable within one run: machines differ, and the same machine differs from hour to hour.
"""

import importlib
import json
import sys

from figures import Figure, machine, print_table

PARTS = (
    "gateway",
    "packing",
    "traces",
    "holds",
    "agents",
    "stream",
    "scaling",
    "read",
    "console",
    "webhooks",
    "end_to_end",
    "touches",
    "worst",
    "hostile",
    "domain",
    "floor",
    "bytes",
    "idle",
    "copy",
)


def main(parts: list[str]) -> int:
    unknown = set(parts) - set(PARTS)
    if unknown:
        print(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    print(json.dumps({"machine": machine()}), flush=True)
    figures: list[Figure] = []
    for part in parts or PARTS:
        found: list[Figure] = importlib.import_module(f"{part}_bench").run()
        for figure in found:
            print(figure.json_line(), flush=True)
        figures += found
    print_table(figures)
    too_much = [figure for figure in figures if figure.is_too_much]
    for figure in too_much:
        print(f"FAIL: {figure.name}: {figure.value:,.1f} {figure.unit}, at most {figure.most:,.1f}")
    return 1 if too_much else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
