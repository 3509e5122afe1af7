import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from pipelines.core.clock import days, duration
from pipelines.core.errors import ShelflifeError
from pipelines.core.params import Gate, parse

DATA = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text())


def changed(**change):
    return {**DATA, "fraud": {**DATA["fraud"], **change}}


def test_the_committed_parameters_are_well_formed():
    params = parse(DATA)
    assert set(params.blocks) == set(params.cases)
    assert params.block("fraud").monitor.window == duration(DATA["fraud"]["monitor"]["window"]) > days(0)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({**DATA, "fruad": {}}, "no parameter fruad"),
        ({k: v for k, v in DATA.items() if k != "fraud"}, "block fraud is missing"),
        (changed(split={"train": "7 days", "valid": "1d", "holdout": "1d"}), "fraud.split.train: wanted a duration"),
        (changed(split={"train": "7d", "valid": "1d"}), "fraud.split: the parameter holdout is missing"),
        (changed(train={**DATA["fraud"]["train"], "seed": "x"}), "fraud.train.seed: wanted int, got 'x'"),
        (changed(train={**DATA["fraud"]["train"], "seed": True}), "fraud.train.seed: wanted int"),
        (changed(train={**DATA["fraud"]["train"], "use": []}), "fraud.train.use: wanted a list"),
        (changed(gate={**DATA["fraud"]["gate"], "marjin": 1}), "fraud.gate has no parameter marjin"),
        (changed(label=None), "fraud.label: wanted a block"),
        (None, "wanted a mapping"),
    ],
)
def test_a_wrong_parameter_is_one_sentence_that_names_it(data, said):
    with pytest.raises(ShelflifeError) as error:
        parse(data)
    assert said in str(error.value)


def test_an_unknown_use_case_names_those_there_are():
    with pytest.raises(ShelflifeError, match="demand, fraud, recommend, sentiment"):
        parse(DATA).block("farud")


def test_a_gate_is_written_down_and_read_again_and_one_from_before_time_was_looked_at_looks_at_units_alone():
    gate = parse(DATA).block("demand").gate
    written = json.loads(json.dumps(gate.to_dict()))
    assert replace(Gate.from_dict(written), reasons=()) == gate
    assert gate.together == days(7)
    assert Gate.from_dict({name: value for name, value in written.items() if name != "together"}).together == days(0)
