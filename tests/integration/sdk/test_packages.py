"""The npm packages, packed and used from their tarballs as a project would use them."""

import json
from pathlib import Path

import pytest
from node import SDK, install_packages, node_is_missing, npm, run_node

pytestmark = pytest.mark.skipif(bool(node_is_missing()), reason=node_is_missing())

PROGRAM = """
import AttriKit, { AttriKit as named, type AttriKitError, type Options } from '@attrikit/web-sdk';
import { AttriKit as MiniProgram } from '@attrikit/miniprogram-sdk';
const onError = (error: AttriKitError): string => error.type;
const options: Options = { appId: 'shop', endpoint: 'https://events.shop.example', onError };
named.init(options);
AttriKit('track', 'purchase', { revenue: 1 }, { eventId: 'e-1', timestamp: new Date() });
const sent: Promise<void> = AttriKit.flush();
const visitor: string = AttriKit('getVisitorId') + MiniProgram.version;
// @ts-expect-error: an option that there is not
AttriKit.init({ appId: 'shop', endpiont: '' });
export { sent, visitor };
"""
TSCONFIG = {
    "compilerOptions": {
        **{"strict": True, "exactOptionalPropertyTypes": True, "noEmit": True, "types": [], "lib": ["ES2018"]},
        **{"module": "node16", "moduleResolution": "node16", "esModuleInterop": True},
    }
}
USE = "console.log(JSON.stringify([k('getVisitorId'), k.version, k.linkUrl('/a'), k.init({appId: 'a'}) === undefined]))"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with both packages, installed from their tarballs without a network."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "package.json").write_text(json.dumps({"name": "shop", "private": True}))
    for package in ("web-sdk", "miniprogram-sdk"):
        packed = run_node(npm(), "pack", "--pack-destination", folder, SDK / "packages" / package)
        assert packed.returncode == 0, packed.stderr
    tarballs = sorted(str(path) for path in folder.glob("*.tgz"))
    installed = run_node(npm(), "install", "--offline", "--no-audit", "--no-fund", *tarballs, folder=folder)
    assert installed.returncode == 0, installed.stderr
    return folder


def test_node_imports_and_requires_it_and_nothing_happens(project: Path) -> None:
    (project / "use.mjs").write_text(f"import k from '@attrikit/web-sdk';\n{USE}")
    (project / "use.cjs").write_text(f"const k = require('@attrikit/web-sdk').AttriKit;\n{USE}")
    version = json.loads((SDK / "packages" / "web-sdk" / "package.json").read_text())["version"]
    for program in ("use.mjs", "use.cjs"):
        ended = run_node(program, folder=project)
        assert json.loads(ended.stdout) == ["", version, "/a", True], ended.stderr


@pytest.mark.parametrize("name", ["program.mts", "program.cts"])
def test_types_are_right_under_strict_typescript(project: Path, name: str) -> None:
    if missing := install_packages():
        pytest.skip(missing)
    # As CommonJS, a default import is what `require` returns: the named one is meant there.
    default = "AttriKit, { AttriKit as named"
    text = PROGRAM if name.endswith(".mts") else PROGRAM.replace(default, "{ AttriKit, AttriKit as named")
    (project / name).write_text(text)
    (project / "tsconfig.json").write_text(json.dumps(TSCONFIG | {"files": [name]}))
    ended = run_node(SDK / "node_modules" / "typescript" / "bin" / "tsc", "-p", ".", folder=project)
    assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize(
    ("linter", "options"),
    [("publint/src/cli.js", ["--strict"]), ("@arethetypeswrong/cli/dist/index.js", ["--no-emoji", "--no-color"])],
)
def test_linters_of_packages_find_nothing(project: Path, linter: str, options: list[str]) -> None:
    if missing := install_packages():
        pytest.skip(missing)
    tarballs = sorted(project.glob("*.tgz"))
    assert len(tarballs) == 2
    for tarball in tarballs:
        ended = run_node(SDK / "node_modules" / linter, tarball, *options)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert "All good!" in ended.stdout or "No problems found" in ended.stdout


def test_the_tarballs_hold_what_is_needed_and_no_more(project: Path) -> None:
    web = project / "node_modules" / "@attrikit" / "web-sdk"
    found = {str(path.relative_to(web)) for path in web.rglob("*") if path.is_file()}
    assert found == {
        "package.json",
        "README.md",
        *(f"lib/{name}" for name in ("attrikit.min.js", "index.mjs", "index.cjs", "index.d.mts", "index.d.cts")),
    }
    served = next((SDK / "served").iterdir()) / "attrikit.min.js"
    assert (web / "lib" / "attrikit.min.js").read_bytes() == served.read_bytes()
