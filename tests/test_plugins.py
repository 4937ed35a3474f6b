"""Packages beside this one: a small one is laid out in a folder of its own, as pip would, and the
command is run in another process that finds it there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from calibrate import loading, plugins, provenance
from calibrate.cli.groups import choices
from calibrate.cli.kinds import named_class
from calibrate.cli.main import cli, guarded
from calibrate.errors import ConfigurationError
from calibrate.sweep.job import DONE, with_packages
from calibrate.sweep.ledger import Ledger

ROOT = Path(__file__).resolve().parents[1]
QUICK = ("data.n=300", "report.figures=false", "evaluator=[closure]")
ENTRY_POINTS = """[calibrate.conf]
theirs = their_package.conf
[calibrate.fitted]
scaled = their_package.scaling:Scaled
"""
SCALING = """
from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from calibrate.context import Context
from calibrate.estimate import Domain, Estimate
from calibrate.records import FitSummary
from calibrate.task import RegressionTask


@dataclass(frozen=True)
class Scaling:
    factor: float = 1.0

    def fit(self, task: RegressionTask, context: Context) -> Scaled:
        return Scaled(Domain.of(task.train), self.factor)


@dataclass(frozen=True)
class Scaled:
    domain: Domain
    factor: float
    summary: FitSummary = field(default_factory=FitSummary)
    kind: ClassVar[str] = "scaled"
    closed_form: ClassVar[str] = "none"

    def estimate(self, x):
        x = self.domain.checked(x)
        return Estimate(self.factor * x, None, self.domain.inside(x))

    def state(self):
        return {"domain": self.domain.state(), "factor": self.factor}

    @classmethod
    def from_state(cls, state):
        return cls(Domain.from_state(state["domain"]), float(state["factor"]))
"""
YAML = """# The feature times a factor
_target_: their_package.scaling.Scaling
# what the feature is multiplied by
factor: 1.0
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with `their_package`, as an installation leaves it."""
    site = tmp_path / "site"
    write(site / "their_package" / "__init__.py", "")
    write(site / "their_package" / "scaling.py", SCALING)
    write(site / "their_package" / "conf" / "method" / "scaling.yaml", YAML)
    write(
        site / "their_package" / "conf" / "experiment" / "halves.yaml",
        "# @package _global_\n# Half of the feature\ndefaults:\n  - override /data: gaussian\n"
        "  - override /method: scaling\nmethod:\n  factor: 0.5\n",
    )
    write(
        site / "their_package" / "conf" / "specialise" / "gaussian_scaling.yaml",
        "# @package _global_\nmethod:\n  factor: 0.25\n",
    )
    information = site / "their_package-1.5.dist-info"
    write(information / "METADATA", "Metadata-Version: 2.1\nName: their-package\nVersion: 1.5\n")
    write(information / "entry_points.txt", ENTRY_POINTS)
    return site


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """`their_package` is found by this process too."""
    monkeypatch.syspath_prepend(site)
    monkeypatch.chdir(site.parent)
    forget()
    yield site
    monkeypatch.undo()
    forget()


def forget() -> None:
    """What is known of installed packages, which do not come and go in a process but here."""
    for known in (plugins.entries, plugins.packages, plugins.folders, plugins.missing_folders,
                  plugins.installed_version, named_class, provenance.environment):  # fmt: skip
        known.cache_clear()
    for module in [name for name in sys.modules if name.startswith("their_package")]:
        del sys.modules[module]


def calibrate(*arguments: str) -> int:
    """The command in this process; its exit status."""
    return guarded(lambda: cli.main(list(arguments), "calibrate", standalone_mode=False))


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command says that it does not do."""
    capsys.readouterr()
    assert calibrate(*arguments) in (1, 2)
    said = capsys.readouterr().err
    assert said.startswith("calibrate: error: ")
    assert said.count("\n") == 1
    return said


def run_folder(capsys: pytest.CaptureFixture[str], *arguments: str) -> Path:
    """The folder that a run leaves."""
    capsys.readouterr()
    assert calibrate("run", *arguments, *QUICK) == 0
    return Path(capsys.readouterr().out.strip().splitlines()[-1]).parent


def test_the_command_finds_an_installed_package_by_itself(site: Path):
    done = subprocess.run(
        [sys.executable, "-m", "calibrate.cli.main", "run", "method=scaling", "--help"],
        cwd=site.parent,
        env={**os.environ, "PYTHONPATH": f"{site}:{ROOT}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "  scaling            The feature times a factor [their-package]\n" in done.stdout
    assert "Options of method=scaling:\n  method.factor=1.0" in done.stdout


def test_the_choices_of_a_package_stand_among_ours(installed: Path, capsys):
    assert {"scaling", "mse"} <= set(choices("method"))
    assert calibrate("run", "data=gaussian", "method=scaling", "--help") == 0
    text = capsys.readouterr().out
    assert "  halves             Half of the feature [their-package]\n" in text
    assert "Set by specialise=gaussian_scaling" in text
    assert calibrate("run", "experiment=halves", "--cfg") == 0
    assert "factor: 0.5" in capsys.readouterr().out


def test_a_method_of_a_package_runs_like_ours_and_is_loaded_again(installed: Path, capsys):
    """Its file in `specialise` counts (the factor is 0.25), and it is applied to a file."""
    folder = run_folder(capsys, "data=gaussian", "method=scaling", "compare_with=[none]")
    report = json.loads((folder / "report.json").read_text())
    metrics = report["metrics"]
    factor = 1 + metrics["closure/nominal/bias_slope"]["value"]
    none = 1 + metrics["none:closure/nominal/bias_slope"]["value"]
    assert factor == pytest.approx(0.25 * none)
    assert report["run"]["environment"]["their-package"] == "1.5"
    write(Path("x.csv"), "x,y\n1,2\n0.5,2\n")
    assert calibrate("apply", str(folder), "x.csv", "y.csv") == 0
    columns = np.genfromtxt("y.csv", delimiter=",", names=True, encoding="utf-8", dtype=None)
    np.testing.assert_allclose(columns["z_calibrated"], [0.25, 0.125])


def test_a_package_that_cannot_be_imported_is_named_and_stops_nothing_else(installed: Path, capsys):
    write(installed / "their_package" / "scaling.py", "import nowhere_to_be_found\n")
    said = refused(capsys, "run", "data=gaussian", "method=scaling")
    assert "method=scaling names 'their_package.scaling.Scaling'" in said
    assert "of the installed package their-package, which cannot be imported" in said
    assert "No module named 'nowhere_to_be_found'" in said
    assert calibrate("run", "--help") == 0
    assert calibrate("run", "data=gaussian", "method=ensemble", "method.base=mse", "--cfg") == 0
    said = refused(capsys, "run", "data=gaussian", "method=ensemble", "method.base=scaling")
    assert "their-package, which cannot be imported" in said


def test_a_constructor_and_a_class_inside_another_are_named(installed: Path, capsys):
    """`method._target_` takes a classmethod, and a stored kind a class inside another."""
    path = installed / "their_package" / "scaling.py"
    methods = "    @classmethod\n    def half(cls):\n        return cls(0.5)\n\n    def fit("
    path.write_text(SCALING.replace("    def fit(", methods)
                    + "\n\nclass Outer:\n    Inner = Scaled\n")  # fmt: skip
    entries = ENTRY_POINTS.replace("scaling:Scaled", "scaling:Outer.Inner")
    write(installed / "their_package-1.5.dist-info" / "entry_points.txt", entries)
    write(installed / "their_package" / "conf" / "method" / "half.yaml",
          "_target_: their_package.scaling.Scaling.half\n")  # fmt: skip
    typed = "method._target_=their_package.scaling.Scaling.half"
    for given in (("method=half",), ("method=none", typed)):
        folder = run_folder(capsys, "data=gaussian", *given, "compare_with=[]")
        assert loading.load(folder).factor == 0.5
    said = refused(capsys, "run", "data=gaussian", "method=none",
                   "method._target_=their_package.scaling.Scaling.third")  # fmt: skip
    assert "type object 'Scaling' has no attribute 'third'" in said


def test_data_may_come_from_a_constructor_or_a_function(installed: Path, capsys):
    write(
        installed / "their_package" / "small.py",
        "from calibrate.data.gaussian import Gaussian\n\n\nclass Small(Gaussian):\n"
        "    @classmethod\n    def made(cls):\n        return cls(n=300)\n\n\n"
        "def small():\n    return Gaussian(n=300)\n",
    )
    for name in ("Small.made", "small"):
        write(installed / "their_package" / "conf" / "data" / "small.yaml",
              f"_target_: their_package.small.{name}\n")  # fmt: skip
        assert calibrate("run", "data=small", "method=none", *QUICK[1:]) == 0
        said = refused(capsys, "run", "data=small", "method=exact_classifier")
        assert "offers regression" in said
        assert "but exact_classifier" in said


@pytest.mark.parametrize(
    ("text", "told"),
    [("_target_: a: b\n", "mapping values are not allowed"), ("factor: 1\n", "names no class"),
     ("- 1\n", "it holds no keys"), ("", "names no class")],
)  # fmt: skip
def test_a_damaged_file_is_named_and_stops_nothing_else(installed, capsys, text: str, told: str):
    for group in ("method", "data", "evaluator"):
        write(installed / "their_package" / "conf" / group / "bad.yaml", text)
    assert calibrate("run", "--help") == 0
    assert calibrate("run", "data=gaussian", "method=ensemble", "method.base=mse", "--cfg") == 0
    capsys.readouterr()
    assert "data that fits: " in refused(capsys, "run", "data=gaussian", "method=exact_classifier")
    for given in (("method=bad",), ("method=ensemble", "method.base=bad"),
                  ("method=none", "compare_with=[bad]")):  # fmt: skip
        said = refused(capsys, "run", "data=gaussian", *given)
        assert told in said
        assert "bad.yaml of their-package" in said


def test_a_damaged_file_that_is_no_method_is_named(installed: Path, capsys):
    for group in ("data", "evaluator", "experiment"):
        write(installed / "their_package" / "conf" / group / "bad.yaml", "a: b: c\n")
    for given in (("data=bad", "method=mse"), ("data=gaussian", "method=mse", "evaluator=[bad]"),
                  ("experiment=bad",)):  # fmt: skip
        said = refused(capsys, "run", *given)
        assert " of their-package" in said
        assert "bad.yaml" in said
        assert "mapping values are not allowed" in said
    write(installed / "their_package" / "conf" / "data" / "bad.yaml", "n: 3\n")
    said = refused(capsys, "run", "data=bad", "method=mse")
    assert "data must have options and a _target_, got {" in said


def test_a_package_without_its_folder_is_named_where_its_choices_may_be_meant(installed, capsys):
    write(installed / "their_package-1.5.dist-info" / "entry_points.txt",
          "[calibrate.conf]\ntheirs = their_package.yaml\n")  # fmt: skip
    assert calibrate("run", "--help") == 0
    assert "mse" in choices("method")
    assert calibrate("run", "data=gaussian", "method=mse", "--cfg") == 0
    capsys.readouterr()
    ours = ("data=gaussian", "method=ensemble", "method.base=scaling")
    for given in (
        ("data=theirs", "method=mse"),
        ("data=gaussian", "method=scaling"),
        ("data=gaussian", "method=mse", "evaluator=[theirs]"),
        ("experiment=halves",),
        ("data=gaussian", "method=mse", "compare_with=[scaling]"),
        ours,
        ("-m", "data=gaussian", "method=mse,scaling"),
    ):
        said = refused(capsys, "run", *given)
        assert "the installed package their-package has its configuration files in" in said
        assert "'their_package.yaml', where there is no folder" in said


def test_a_name_that_two_bring_is_refused_where_it_is_used(installed: Path, capsys):
    for group, name in (("method", "mse"), ("evaluator", "closure")):
        write(installed / "their_package" / "conf" / group / f"{name}.yaml", YAML)
    said = refused(capsys, "run", "data=gaussian", "method=mse", "--cfg")
    assert "method=mse is brought by calibrate and by their-package" in said
    said = refused(capsys, "run", "data=gaussian", "method=none", "--cfg")
    assert "evaluator=closure is brought by calibrate and by their-package" in said
    assert calibrate("run", "data=gaussian", "method=none", "evaluator=[curves]", "--cfg") == 0


def test_a_stored_calibration_names_the_package_that_it_needs(installed: Path, capsys):
    folder = run_folder(capsys, "data=gaussian", "method=scaling")
    write(Path("x.csv"), "x,y\n1,2\n")
    (installed / "their_package-1.5.dist-info").rename("uninstalled")
    forget()
    said = refused(capsys, "apply", str(folder), "x.csv", "y.csv")
    assert "holds an unknown kind 'scaled'" in said
    assert "needs that package, with an entry point in 'calibrate.fitted'" in said


def test_a_stored_kind_that_two_bring_is_refused_where_it_is_used(installed: Path, capsys):
    """Two packages, or one and ours: neither is taken silently."""
    folder = run_folder(capsys, "data=gaussian", "method=scaling")
    ours = run_folder(capsys, "data=gaussian", "method=mse")
    kind = loading.load(ours).kind
    for name in ("other", "third"):
        information = installed / f"{name}-1.dist-info"
        write(information / "METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        write(information / "entry_points.txt",
              "[calibrate.fitted]\nscaled = their_package.scaling:Scaled\n"
              f"{kind} = their_package.scaling:Scaled\n")  # fmt: skip
        forget()
        with pytest.raises(ConfigurationError, match=r"'scaled' is brought by .*their-package"):
            loading.load(folder)
        with pytest.raises(ConfigurationError, match=rf"'{kind}' .* calibrate and by"):
            loading.load(ours)


def upgraded(installed: Path, version: str) -> None:
    write(installed / "their_package-1.5.dist-info" / "METADATA",
          f"Metadata-Version: 2.1\nName: their-package\nVersion: {version}\n")  # fmt: skip
    forget()


def test_an_upgraded_package_is_another_sweep(installed: Path, capsys):
    sweep = ("run", "-m", "data=gaussian", "method=scaling", "data.n=150", "seed=0,1",
             "compare_with=[]", "evaluator=[curves]", "report.figures=false", "sweep.dir=swept",
             "hydra/launcher=basic")  # fmt: skip
    assert calibrate(*sweep) == 0
    upgraded(installed, "1.6")
    assert "swept holds another sweep" in refused(capsys, *sweep)
    with Ledger(Path("swept")) as ledger:
        ledger.again(DONE, number=1)
    said = refused(capsys, "sweep", "retry", "swept")
    assert "swept was made with their-package 1.5, this is 1.6" in said
    upgraded(installed, "1.5")
    assert calibrate("sweep", "retry", "swept") == 0


def test_files_that_an_upgraded_package_calibrates_are_other_jobs(installed: Path, capsys):
    folder = run_folder(capsys, "data=gaussian", "method=scaling")
    for name in ("a", "b"):
        write(Path(f"{name}.csv"), "x,y\n1,2\n0.5,2\n")
    apply = ("apply", str(folder), "a.csv", "b.csv", "out", "hydra/launcher=basic")
    assert calibrate(*apply) == 0
    upgraded(installed, "1.6")
    assert "out holds another sweep" in refused(capsys, *apply)


def test_versions_are_those_of_the_packages_that_a_recipe_names(installed: Path):
    """Whatever is installed, the recipe (and so the hash) of what is ours stays as it is."""
    ours = {"method": "mse", "configuration": {"method": {"_target_": "calibrate.methods.mse.MSE"}}}
    assert with_packages(ours, ["polynomial"]) == ours
    node = {"_target_": "their_package.scaling.Scaling"}
    found = with_packages({**ours, "compared": {"a": {"base": [node]}}})
    assert found["packages"] == {"their-package": "1.5"}
    assert with_packages(ours, ["scaled"])["packages"] == {"their-package": "1.5"}
    write(installed / "more-2.dist-info" / "METADATA",
          "Metadata-Version: 2.1\nName: more\nVersion: 2\n")  # fmt: skip
    write(installed / "more-2.dist-info" / "entry_points.txt",
          "[calibrate.methods]\nmore = their_package.more\n")  # fmt: skip
    forget()
    assert with_packages(node)["packages"] == {"more": "2", "their-package": "1.5"}


CLASSIFIER = """
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from calibrate.estimate import Domain
from calibrate.records import FitSummary


@dataclass(frozen=True)
class Flat:
    tasks: ClassVar[tuple[str, ...]] = ("inference",)

    def fit(self, task, context):
        assert task.points == () and task.exact is None
        nominal = {each.name: each.nominal for each in task.nuisances}
        return FlatScore(Domain.of(task.train.at(nominal)))


@dataclass(frozen=True)
class FlatScore:
    domain: Domain
    summary: FitSummary = FitSummary()
    kind: ClassVar[str] = "flat"
    uses_nuisances: ClassVar[bool] = False
    ranges: ClassVar[dict] = {}

    def score(self, x, values):
        return np.full(len(x), 0.5)

    def knowing(self, values):
        return self

    def state(self):
        return {"domain": self.domain.state()}
"""


def test_a_classifier_of_a_package_sees_nothing_unless_it_says_so(installed: Path, capsys):
    path = installed / "their_package" / "flat.py"
    write(installed / "their_package" / "conf" / "method" / "flat.yaml",
          "_target_: their_package.flat.Flat\n")  # fmt: skip
    write(path, CLASSIFIER)
    given = ("run", "data=angle", "data.n=300", "data.n_test=600", "method=flat",
             "evaluator=[score]", "compare_with=[]", "report.figures=false")  # fmt: skip
    assert "Flat gives a FlatScore without knows: a score" in refused(capsys, *given)
    write(path, CLASSIFIER + "\n    def knows(self, values):\n        return True\n")
    forget()
    assert calibrate(*given) == 0
