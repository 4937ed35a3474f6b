"""Every file in `conf/` is composed and instantiated, every experiment is run for one step."""

from __future__ import annotations

import importlib
import inspect
import json
from pathlib import Path
from typing import Any

import h5py
import pytest
from omegaconf import OmegaConf

from calibrate.cli.compose import compose
from calibrate.cli.groups import choices, configuration_folder, describe, options, summary
from calibrate.cli.planning import plan
from calibrate.cli.run import run, show_configuration
from calibrate.data.dijet import Dijet
from calibrate.errors import ConfigurationError, MisfitError
from calibrate.kinds_of_task import tasks_of
from calibrate.study import Study
from tests.test_higgsml import table, written

CONF = configuration_folder()
TARGETS = [(group, name) for group in ("data", "method", "evaluator") for name in choices(group)]
PAIR = ("data=gaussian", "method=mse")
EXAMPLES = {
    "table": {"path": "jets.root", "x": ["jet_pt"]},
    "delphes_dijet": {"path": "delphes.root"},
    "nanoaod": {"path": "nano.root"},
    "cms_dijet": {"path": "SIM1000.h5"},
    "column": {"z": "jet_pt_jec"},
    "higgsml": {"path": "training.csv"},
    "fair_universe": {"path": "train.parquet"},
}
"""Values of the options without a default, for each dataset or method that has some."""

FOR_TASK = {
    "regression": {"table": {"z": ["gen_pt"]}},
    "transport": {
        "table": {"target_path": "data.root"},
        "delphes_dijet": {"target_path": "atlas.root"},
        "cms_dijet": {"simulation": "delphes.root"},
    },
}
"""What a dataset needs besides, for one kind of task."""


def needed(name: str, group: str = "data", kind: str = "regression") -> list[str]:
    """A dataset or method and what it needs, as overrides."""
    given = {**EXAMPLES.get(name, {}), **FOR_TASK.get(kind, {}).get(name, {})}
    values = {k: v if isinstance(v, str) else f"[{','.join(v)}]" for k, v in given.items()}
    return [f"{group}={name}", *(f"{group}.{key}={value}" for key, value in values.items())]


def loaded(group: str, name: str) -> dict[str, Any]:
    content = OmegaConf.to_container(OmegaConf.load(CONF / group / f"{name}.yaml"))
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def constructor(group: str, name: str) -> type:
    module, _, attribute = loaded(group, name)["_target_"].rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def parameters(group: str, name: str) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(constructor(group, name)).parameters)


# Files and constructors


@pytest.mark.parametrize(("group", "name"), TARGETS)
def test_the_keys_of_a_file_are_the_constructors_keyword_arguments(group: str, name: str):
    keys = loaded(group, name).keys() - {"_target_", "defaults"}
    assert keys == parameters(group, name).keys()


@pytest.mark.parametrize(("group", "name"), TARGETS)
def test_the_defaults_of_a_file_are_the_constructors(group: str, name: str):
    """So that the library and the command do the same when nothing is said."""
    target, content = constructor(group, name), loaded(group, name)
    mandatory = EXAMPLES.get(name, {})
    assert {key for key, value in content.items() if value == "???"} == mandatory.keys()
    built = target(**mandatory)
    for key, value in content.items():
        if key == "_target_" or key in mandatory:
            continue
        default = getattr(built, key)
        assert (list(default) if isinstance(default, tuple) else default) == value, key


@pytest.mark.parametrize(("group", "name"), TARGETS)
def test_constructors_take_no_unnamed_arguments(group: str, name: str):
    loose = {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}
    assert not loose & {parameter.kind for parameter in parameters(group, name).values()}


@pytest.mark.parametrize(
    ("group", "name"), [*TARGETS, *(("experiment", e) for e in choices("experiment"))]
)
def test_every_choice_says_in_its_first_comment_what_it_is(group: str, name: str):
    assert summary(group, name)


@pytest.mark.parametrize(("group", "name"), [t for t in TARGETS if t[0] != "evaluator"])
def test_help_lists_every_option_with_its_default(group: str, name: str):
    found = {key: value for key, value, _ in options(group, name)}
    assert found.keys() == loaded(group, name).keys() - {"_target_"}
    text = describe([f"{group}={name}"])
    for key, value in found.items():
        assert f"{group}.{key}={value}" in text


@pytest.mark.parametrize("name", ["fig1", "fig6"])
def test_a_summary_is_whole(name: str):
    assert summary("experiment", name).count("(a)") == summary("experiment", name).count("(b)") == 1


def test_help_shows_what_a_specialisation_sets():
    assert "method.degree=1" in describe(["data=gaussian", "method=mse"])
    assert "specialise=" not in describe(["data=dijet", "method=mse"])


@pytest.mark.parametrize("path", sorted((CONF / "specialise").glob("*.yaml")), ids=lambda p: p.stem)
def test_a_specialisation_names_only_what_exists(path: Path):
    pairs = {f"{d}_{m}": (d, m) for d in choices("data") for m in choices("method")}
    assert path.stem in pairs
    chosen = dict(zip(("data", "method"), pairs[path.stem], strict=True))
    content = loaded("specialise", path.stem)
    assert content.keys() <= chosen.keys()
    for group, values in content.items():
        assert values.keys() <= loaded(group, chosen[group]).keys()


# Composition


KINDS = {m: tasks_of(constructor("method", m))[0] for m in choices("method")}
EVALUATORS = {
    "regression": {"closure", "curves", "spectra", "prior_stress"},
    "transport": {"prior_stress", "transport"},
    "inference": {"score", "likelihood"},
}
COMPARED = {"regression": "none", "transport": "none", "inference": "baseline_classifier"}


@pytest.mark.parametrize("data", choices("data"))
@pytest.mark.parametrize("method", choices("method"))
def test_every_dataset_goes_with_every_method_of_a_task_that_it_offers(data: str, method: str):
    kind = KINDS[method]
    overrides = [*needed(data, kind=kind), *needed(method, "method")]
    if not hasattr(constructor("data", data), kind):
        with pytest.raises(MisfitError, match=f"data={data} offers .*, but {method}"):
            plan(overrides)
        return
    planned = plan(overrides)
    assert isinstance(planned.study, Study)
    assert isinstance(planned.study.data, constructor("data", data))
    assert isinstance(planned.study.methods[method], constructor("method", method))
    assert list(planned.study.methods) == list(dict.fromkeys([method, COMPARED[kind]]))
    own = getattr(constructor("method", method), "evaluators", ())
    assert set(planned.study.evaluators) == {*EVALUATORS[kind], *own}
    assert (planned.data, planned.method, planned.seed) == (data, method, 0)
    assert (planned.output, planned.figures, planned.device) == ("outputs", True, "cpu")


def test_an_evaluator_that_no_kind_has_by_default_is_named_by_a_method():
    named = {e for m in KINDS for e in getattr(constructor("method", m), "evaluators", ())}
    assert named | set().union(*EVALUATORS.values()) == set(choices("evaluator"))


@pytest.mark.parametrize("kind", FOR_TASK)
def test_what_a_kind_of_task_needs_is_asked_for_before_anything_starts(kind: str):
    method = {"regression": "mse", "transport": "ot"}[kind]
    for name, required in FOR_TASK[kind].items():
        given = needed(name, kind=kind)
        for option in required:
            kept = [text for text in given if not text.startswith(f"data.{option}=")]
            with pytest.raises(ConfigurationError, match=f"data.{option}=…"):
                plan([*kept, f"method={method}"])


def test_a_specialisation_applies_to_its_pair_alone():
    regressions = [d for d in choices("data") if hasattr(constructor("data", d), "regression")]
    methods = {d: plan([*needed(d), "method=mse"]).study.methods["mse"] for d in regressions}
    assert methods["gaussian"].degree == 1
    assert methods["dijet"].degree is None


def test_the_command_line_wins_over_a_specialisation():
    method = plan([*PAIR, "method.degree=3"]).study.methods["mse"]
    assert method.degree == 3


def test_a_specialisation_can_be_left_out_or_named():
    assert plan([*PAIR, "~specialise"]).study.methods["mse"].degree is None
    with pytest.raises(ConfigurationError, match="no specialise 'gausian_mse': did you mean"):
        plan([*PAIR, "specialise=gausian_mse"])


def test_a_method_compared_with_has_its_own_defaults_and_specialisation():
    planned = plan([*PAIR, "method.degree=3", "compare_with=[none,gaussian_ansatz,mse]"])
    assert planned.compare_with == ("none", "gaussian_ansatz")
    alone = plan(["data=gaussian", "method=gaussian_ansatz"]).study.methods["gaussian_ansatz"]
    assert planned.study.methods["gaussian_ansatz"] == alone
    assert alone.hidden_d is None


def test_a_method_compared_with_takes_options_where_it_is_named():
    planned = plan([*PAIR, "compare_with=[none,{numerical_inversion:{centre:median}}]"])
    assert planned.compare_with == ("none", "numerical_inversion")
    assert planned.study.methods["numerical_inversion"].centre == "median"
    anchored = "compare_with=[{response_transport:{anchor:spectrum}}]"
    found = plan(["data=gaussian", "method=ot", anchored]).study.methods
    assert found["response_transport"].anchor == "spectrum"


def test_options_of_an_experiment_are_those_of_its_own_method():
    methods = plan(["experiment=transports"]).study.methods
    assert methods["response_transport"].anchor == "spectrum"
    assert list(methods) == ["response_transport", "none", "ot"]
    assert plan(["experiment=transports", "data=dijet"]).data == "dijet"


def test_the_experiment_of_regressors_goes_with_other_data():
    for data in ("gaussian", "dijet"):
        study = plan(["experiment=regressors", f"data={data}"]).study
        assert list(study.methods) == ["gaussian_ansatz", "none", "numerical_inversion", "mse"]
        assert study.evaluators["prior_stress"].compared


def test_two_compositions_do_not_disturb_each_other():
    first = plan([*PAIR, "data.mu=3"])
    assert plan(["data=dijet", "method=none"]).data == "dijet"
    assert plan([*PAIR, "data.mu=3"]).configuration == first.configuration
    assert plan(PAIR).study.data.mu == 0.0


def test_the_shown_configuration_composes_to_itself_without_hydra():
    content = OmegaConf.create(show_configuration([*PAIR, "data.mu=1.5"]))
    assert "hydra" not in content
    assert content.data.mu == 1.5
    assert content.method._target_ == "calibrate.methods.mse.MSE"
    assert content.seed == 0


@pytest.mark.parametrize("name", choices("experiment"))
def test_an_experiment_composes_and_overrides_apply_to_it(name: str):
    planned = plan([f"experiment={name}", "seed=7"])
    assert planned.seed == 7
    assert planned.method in planned.study.methods
    assert planned.study.evaluators
    assert not set(planned.compare_with) & {planned.method}


@pytest.fixture(scope="module")
def few_dijets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every sixteenth of the bundled events, as a file of the same layout."""
    path = tmp_path_factory.mktemp("data") / "few.h5"
    with h5py.File(Dijet().source()) as source, h5py.File(path, "w") as file:
        for name, column in source.items():
            file[name] = column[::16]
    return path


@pytest.fixture(scope="module")
def few_higgs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated table in the layout of HiggsML."""
    return written(table(), tmp_path_factory.mktemp("data") / "training.csv")


def small(name: str, few_dijets: Path, few_higgs: Path) -> list[str]:
    """Overrides that make any experiment small, from what it is composed of."""
    composed = compose([f"experiment={name}"])
    chosen = composed.hydra.runtime.choices
    events = 4000 if chosen["method"] == "response_transport" else 200
    source = few_higgs if chosen["data"] == "higgsml" else few_dijets
    sizes = {"gaussian": f"n={events}", "asymmetric": f"n={events}", "angle": "n=500"}
    overrides = [f"data.{sizes.get(chosen['data'], f'path={source}')}"]
    if chosen["data"] == "angle":
        overrides.append("data.n_test=500")
    if chosen["data"] in ("angle", "higgsml"):
        overrides.append("data.points=[[1,1]]")
    for key, value in {"steps": 1, "epochs": 1}.items():
        if key in composed.method:
            overrides.append(f"method.{key}={value}")
    few = {
        "closure.replicas": 2,
        "transport.refits": 2,
        "transport.classified": 200,
        "likelihood.experiments": 0,
        "likelihood.values": 5,
    }
    for key, value in few.items():
        if key.split(".")[0] in composed.evaluator:
            overrides.append(f"evaluator.{key}={value}")
    return [*overrides, "report.figures=false"]


@pytest.mark.parametrize("name", choices("experiment"))
def test_an_experiment_runs_for_one_step(
    name: str, few_dijets: Path, few_higgs: Path, tmp_path: Path, capsys
):
    overrides = small(name, few_dijets, few_higgs)
    assert run([f"experiment={name}", f"output={tmp_path}", *overrides]) == 0
    (report,) = tmp_path.glob("*/*/*/report.json")
    about = json.loads(report.read_text("utf-8"))["run"]
    planned = plan([f"experiment={name}"])
    assert (about["data"], about["method"]) == (planned.data, planned.method)
    assert about["compare_with"] == list(planned.compare_with)
    assert capsys.readouterr().out.splitlines()[-1] == str(report.with_name("report.html"))


# What is refused


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ((), "a run needs data=… and method=…"),
        (("data=gaussian",), "a run needs method=….*gaussian_ansatz, mse, none"),
        (("method=gausian_ansatz", "data=dijet"), "no method 'gausian_ansatz': did you mean gaus"),
        (("method=mse", "data=dijets"), "no data 'dijets': did you mean dijet"),
        ((*PAIR, "data.sgima=1"), "no option 'data.sgima': did you mean sigma"),
        ((*PAIR, "daata.sigma=1"), "no option 'daata.sigma': did you mean data"),
        (
            (*PAIR, "evaluator.closre.bins=3"),
            "no option 'evaluator.closre.bins': did you mean clos",
        ),
        ((*PAIR, "seed.value=3"), "no option 'seed.value': 'seed' has no options"),
        ((*PAIR, "evaluator.closure.edges=3"), r"takes at least two edges that rise, got \[3\]"),
        ((*PAIR, "sede=1"), "no option 'sede': did you mean seed"),
        ((*PAIR, "hydra.run.dir=here"), "hydra.run.dir has no effect here: output=FOLDER"),
        ((*PAIR, "sede=1", "data.sgima=1"), "no option 'sede': did you mean seed"),
        ((*PAIR, "method.degreee=1"), "no option 'method.degreee': did you mean degree"),
        ((*PAIR, "evaluator.closure.bin=3"), "'evaluator.closure.bin': did you mean bins"),
        ((*PAIR, "compare_with=[nonee]"), "compare_with='nonee': did you mean none"),
        ((*PAIR, "compare_with=none"), "compare_with takes a list"),
        ((*PAIR, "compare_with=[{column:{zz:x}}]"), "no option 'zz' of column: did you mean z"),
        ((*PAIR, "compare_with=[{column:3}]"), "compare_with takes options such as {column:"),
        ((*PAIR, "compare_with=[{ot:{}},{ot:{knots:5}}]"), "compare_with names ot twice"),
        ((*PAIR, "evaluator=[clousre]"), "no evaluator 'clousre': did you mean closure"),
        (("experiment=fig11",), "no experiment 'fig11': did you mean fig1"),
        ((*PAIR, "seed=-1"), "seed must be an integer ≥ 0, got -1"),
        ((*PAIR, "seed=1.5"), "seed must be an integer ≥ 0, got 1.5"),
        ((*PAIR, "device=gpu"), r"device='gpu': did you mean cpu\? \(choices: auto, cpu, cuda\)"),
        ((*PAIR, "evaluator=[]"), "a run needs an evaluator: closure, curves"),
        ((*PAIR, "~data"), "a run needs data=…"),
        ((*PAIR, "+sed=1"), "no option 'sed': did you mean seed"),
        ((*PAIR, "note=[a]"), r"note is a sentence for the report, got \['a'\]"),
        ((*PAIR, "report.figures=maybe"), "report.figures is true or false: 'maybe'"),
        ((*PAIR, "data.sigma=-1"), "data.sigma must be positive, got -1"),
        ((*PAIR, "data.n=many"), "data.n must be a positive integer, got 'many'"),
        ((*PAIR, "sigma"), "'sigma' is no override: write key=value"),
        ((*PAIR, "--sigma"), "no option '--sigma': see calibrate run --help"),
        ((*PAIR, "data.sigma=[1"), "cannot read the overrides"),
        (("data=table", "method=mse"), r"data=table needs data.path=… \(.*, data.x=… \(feat"),
        (
            (*needed("table"), "method=mse", "data.w=abs(w)"),
            "cannot read .*'data.w=\"abs\\(w\\)\"'",
        ),
        (
            (*PAIR, "+data.extra=1"),
            "Gaussian has no option 'extra': available: controls.*~data.extra",
        ),
    ],
)
def test_a_mistake_is_answered_with_what_is_there(overrides, message: str):
    with pytest.raises(ConfigurationError, match=f"(?s){message}"):
        plan(overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        ("data._target_=os.system",),
        ("method._target_=subprocess.call",),
        ("+evaluator.evil={_target_: os.system, command: 'false'}",),
        ("+evaluator.spectra.others.evil={_target_: os.system, command: 'false'}",),
        ("+data.nested=[{deep: {_target_: os.system}}]",),
    ],
)
def test_a_target_outside_the_package_is_refused(overrides: tuple[str, ...]):
    with pytest.raises(ConfigurationError, match=r"only targets of calibrate\.data\., .* are"):
        plan([*PAIR, *overrides])
