"""Build `services/sdk` with the Node.js of this environment; `--check`: prove that what is committed is such a build.

A check that cannot be made, because there is no Node.js or the packages it needs are not there and cannot be fetched,
says so and passes: nothing that is served needs either.
"""

import sys

from node import SDK, install_packages, node_is_missing, run_node

CHECK = "--check"


def main(arguments: list[str]) -> int:
    is_check = CHECK in arguments
    missing = node_is_missing() or install_packages()
    if missing:
        print(f"SDK: its built files are not compared with a fresh build: {missing.splitlines()[-1]}")
        return 0 if is_check else 1
    for argv in ((SDK / "node_modules" / "typescript" / "bin" / "tsc", "-p", "."), ("build.mjs", *arguments)):
        ended = run_node(*argv)
        print(ended.stdout + ended.stderr, end="")
        if ended.returncode:
            return ended.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
