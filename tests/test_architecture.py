"""The plan of the house, read from the source with `ast`: who may import whom and what."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import calibrate

PACKAGE = Path(calibrate.__file__).parent
CORE = (
    "errors",
    "checks",
    "sample",
    "mixture",
    "task",
    "kinds_of_task",
    "estimate",
    "protocols",
    "records",
    "context",
)
TABLES = {"uproot", "awkward", "pyarrow"}
"""What reads the user's files: heavy, and needed with `data=table` and `apply` alone."""
ROOMS_BY_FLOOR: dict[float, tuple[str, ...]] = {
    0: CORE,
    1: (
        *("data", "nn", "statistics", "prior", "kinematics", "storage", "device", "seeding"),
        *("provenance", "coordinates", "pairing", "expressions", "tables", "catalogue"),
        *("memory", "checkpoints", "cores", "plugins"),
    ),
    2: (
        *("train", "evaluations", "plateau", "model_axis", "member", "minibatch", "learner"),
        *("figures", "contents"),
    ),
    3: ("methods", "evaluators", "inference"),
    3.5: ("loading", "stored"),
    4: ("study", "apply", "report", "sweep"),
    5: ("cli", "calibrate"),
}
FLOORS = {room: floor for floor, rooms in ROOMS_BY_FLOOR.items() for room in rooms}
WITHOUT_TORCH = (*CORE, "data", "statistics", "prior", "expressions", "tables")
LONGEST_FILE, LONGEST_FUNCTION = 300, 40


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def room_of(module: str) -> str:
    """`calibrate.data.dijet` → `data`; the package itself is the front door `calibrate`."""
    return module.split(".")[1] if "." in module else module


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(FILES[module].read_text(encoding="utf-8"))


@cache
def imports_of(module: str) -> tuple[tuple[str, str | None], ...]:
    """Imported module and name (None for `import m`), also inside functions and `if` blocks."""
    found: list[tuple[str, str | None]] = []
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            found += [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno} imports relatively"
            found += [(str(node.module), alias.name) for alias in node.names]
    return tuple(found)


def own_imports(module: str) -> Iterator[tuple[str, str | None]]:
    """Modules of this package that a module imports; `from calibrate import storage` names one."""
    for source, name in imports_of(module):
        if source.split(".")[0] == "calibrate":
            submodule = f"{source}.{name}"
            yield (submodule, None) if submodule in FILES else (source, name)


def importers_of(*libraries: str) -> set[str]:
    return {
        module
        for module in FILES
        if any(source.split(".")[0] in libraries for source, _ in imports_of(module))
    }


def outside(modules: set[str], *rooms: str) -> set[str]:
    return {module for module in modules if room_of(module) not in rooms}


def test_every_room_stands_on_a_floor():
    assert {room_of(module) for module in FILES} == set(FLOORS)


def test_imports_run_downwards_only():
    upward = [
        f"{module} → {target}"
        for module in FILES
        for target, _ in own_imports(module)
        if FLOORS[room_of(target)] > FLOORS[room_of(module)]
    ]
    assert upward == []


def test_imports_form_no_cycle():
    graph = {module: {target for target, _ in own_imports(module)} for module in FILES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


def test_no_module_imports_a_private_name_of_another():
    private = [
        f"{module} → {target}.{name or ''}"
        for module in FILES
        for target, name in own_imports(module)
        if any(part.startswith("_") for part in (*target.split("."), name or ""))
    ]
    assert private == []


def test_no_module_reaches_a_private_name_through_an_imported_module():
    reached = []
    for module in FILES:
        modules = {target.split(".")[-1] for target, name in own_imports(module) if name is None}
        reached += [
            f"{module}:{node.lineno} {node.value.id}.{node.attr}"
            for node in ast.walk(tree_of(module))
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in modules
            and node.attr.startswith("_")
        ]
    assert reached == []


def test_only_the_command_line_imports_hydra_and_omegaconf():
    assert outside(importers_of("hydra", "omegaconf"), "cli") == set()


def test_only_figures_import_matplotlib():
    assert outside(importers_of("matplotlib", "mplhep"), "figures") == set()


def test_only_data_tables_and_storage_import_h5py():
    assert outside(importers_of("h5py"), "data", "storage", "tables") == set()


def test_only_tables_import_the_libraries_of_tables():
    assert outside(importers_of(*TABLES), "tables") == set()


@pytest.mark.parametrize(
    ("library", "module"),
    [
        ("ot", "calibrate.methods.plans"),
        ("sklearn", "calibrate.evaluators.separation"),
        ("pyhf", "calibrate.inference.histfactory"),
    ],
)
def test_a_library_of_one_computation_is_imported_by_it_alone_and_late(library: str, module: str):
    assert importers_of(library) == {module}
    assert library not in {name.split(".")[0] for name in imported_at_once(module)}


def test_only_the_catalogue_fetches():
    assert outside(importers_of("pooch", "requests", "http"), "catalogue") == set()
    sources = {module: {source for source, _ in imports_of(module)} for module in FILES}
    assert not [module for module, found in sources.items() if "urllib.request" in found]


def test_a_format_loads_its_own_library_only():
    """`open_table` imports a format's module when it meets such a file."""
    at_once = {
        target
        for m in ("tables", "tables.opening")
        for target in imported_at_once(f"calibrate.{m}")
    }
    assert not at_once & importers_of(*TABLES, "h5py")


def test_torch_stays_out_of_the_core_the_data_and_the_statistics():
    assert {m for m in importers_of("torch") if room_of(m) in WITHOUT_TORCH} == set()


@pytest.mark.parametrize("room", ["calibrate", *WITHOUT_TORCH])
def test_no_way_through_other_modules_leads_to_torch(room: str):
    """At import time: what a function imports when it is called does not count."""
    seen: set[str] = set()
    pending = [module for module in FILES if room_of(module) == room]
    while pending:
        module = pending.pop()
        seen.add(module)
        pending += [m for m in imported_at_once(module) if m in FILES and m not in seen]
    assert seen & importers_of("torch") == set()


def imported_at_once(module: str) -> Iterator[str]:
    for node in tree_of(module).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


IMPORT = "import calibrate"
HELP = """
from calibrate.cli.main import cli
cli.main(['--help'], standalone_mode=False)
cli.main(['run', '--help'], standalone_mode=False)
"""


@pytest.mark.parametrize("code", [IMPORT, HELP], ids=["import calibrate", "calibrate --help"])
def test_the_front_door_opens_without_heavy_libraries(code: str):
    heavy = {"torch", "hydra", "omegaconf", "matplotlib", "mplhep", "scipy", "h5py", "numpy"}
    heavy |= {"pooch", "requests"}
    assert loaded_by(code) & (heavy | TABLES) == set()


def test_what_drives_the_jobs_of_many_files_starts_without_torch():
    assert "torch" not in loaded_by("import calibrate.cli.apply, calibrate.cli.apply_files")


def loaded_by(code: str) -> set[str]:
    code = f"import json, sys\n{code}\nprint('\\n' + json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def test_every_module_says_what_it_is():
    assert [module for module in FILES if not ast.get_docstring(tree_of(module))] == []


def test_files_stay_short():
    lines = {m: len(path.read_text(encoding="utf-8").splitlines()) for m, path in FILES.items()}
    assert {module: n for module, n in lines.items() if n > LONGEST_FILE} == {}


def test_functions_stay_short():
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    long = [
        f"{module}.{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for module in FILES
        for node in ast.walk(tree_of(module))
        if isinstance(node, functions) and node.end_lineno - node.lineno >= LONGEST_FUNCTION
    ]
    assert long == []


def test_no_argument_is_checked_by_an_assert():
    asserts = [
        f"{module}:{node.lineno}"
        for module in FILES
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Assert)
    ]
    assert asserts == []
