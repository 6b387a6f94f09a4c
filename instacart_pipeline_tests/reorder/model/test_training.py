"""Training: what is learnt, from whom, and what it says when nothing can be."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from instacart_pipeline.reorder.model import users
from instacart_pipeline.reorder.model.features import FEATURES, ORIGINAL
from instacart_pipeline.reorder.model.pairs import read_pairs
from instacart_pipeline.reorder.model.scripts import inference
from instacart_pipeline.reorder.model.training import Options, TooFewLabels, train
from instacart_pipeline_tests.reorder.model.planted import write_pairs

QUICK = Options({"max_depth": 3, "eta": 0.3, "nthread": 1}, rounds=40, patience=5)


def silent(line: str) -> None:
    del line


def trained(folder: Path, pairs: Path, options: Options = QUICK) -> tuple[Path, dict[str, object]]:
    folder.mkdir(parents=True, exist_ok=True)
    return folder, train(pairs, folder, options, silent)


def test_a_planted_habit_is_learnt_and_its_probabilities_hold(tmp_path: Path) -> None:
    folder, report = trained(tmp_path / "model", write_pairs(tmp_path / "pairs", users=1500))
    model = inference.model_fn(str(folder))
    unseen = read_pairs(write_pairs(tmp_path / "unseen", users=1500, seed=2), FEATURES, users.HELD_OUT)
    said = inference.predict_fn(unseen.features, model)
    truth = unseen.column("up_order_rate") ** 3
    assert np.corrcoef(said, truth)[0, 1] > 0.95
    assert said.mean() == pytest.approx(unseen.label.mean(), abs=0.03)
    gain = report["gain"]
    assert isinstance(gain, dict)
    assert max(gain, key=lambda name: gain[name]) in {"up_order_rate", "up_orders"}  # the latter is made of the former


@dataclass(frozen=True)
class Shop:
    """The pairs of 300 users, and a model of them: its folder and the log of its training."""

    pairs: Path
    model: Path
    log: list[str]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder, log = tmp_path_factory.mktemp("shop"), list[str]()
    pairs, model = write_pairs(folder / "pairs", users=300), folder / "model"
    model.mkdir()
    train(pairs, model, QUICK, log.append)
    return Shop(pairs, model, log)


def test_the_same_pairs_give_the_same_model_and_held_out_users_have_no_say(shop: Shop, tmp_path: Path) -> None:
    from pyarrow import compute, parquet

    without = tmp_path / "without"
    without.mkdir()
    table = parquet.read_table(shop.pairs)
    parquet.write_table(table.filter(compute.less(table["user_bucket"], 80)), without / "part-0.parquet")
    again, _ = trained(tmp_path / "again", without)
    assert (again / "model.ubj").read_bytes() == (shop.model / "model.ubj").read_bytes()
    assert json.loads((again / "model.json").read_text()) == json.loads((shop.model / "model.json").read_text())


def test_every_bucket_is_held_out_or_in_one_fold_and_the_sample_spreads_over_all_folds() -> None:
    assert sorted((*users.TRAINED_ON, *users.HELD_OUT)) == list(range(100))
    assert [sum(users.fold_of(bucket) == fold for bucket in users.TRAINED_ON) for fold in range(users.FOLDS)] == [
        20
    ] * 4
    assert [sum(users.fold_of(bucket) == fold for bucket in users.SAMPLE) for fold in range(users.FOLDS)] == [2] * 4


def test_earlier_orders_are_learnt_from_and_not_counted_in_what_is_measured(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "pairs", users=300, windows=2)
    report = train(pairs, tmp_path, Options(QUICK.parameters, 5, 5, folds=1, refit=False), silent)
    assert report["pairs"] == 240 * 12 * 3
    assert report["orders"] == 240


def test_a_sample_is_a_tenth_of_the_users_unless_that_says_too_little(shop: Shop, tmp_path: Path) -> None:
    only = Options(QUICK.parameters, 5, 5, sample="always", folds=1, refit=False)
    assert train(shop.pairs, tmp_path, only, silent)["orders"] == 24
    if_many = Options(QUICK.parameters, 5, 5, sample="if many", folds=1, refit=False)
    assert train(shop.pairs, tmp_path, if_many, silent)["orders"] == 240


def test_without_labels_of_both_kinds_nothing_is_learnt_and_it_says_what_is_missing(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "pairs", users=100)
    from pyarrow import parquet

    table = parquet.read_table(pairs)
    never = table.set_column(table.schema.get_field_index("label"), "label", [np.zeros(len(table), np.int32)])
    parquet.write_table(never, pairs / "part-0.parquet")
    with pytest.raises(TooFewLabels, match=r"960 pairs of last orders, 0 of them bought.* train orders of more users"):
        train(pairs, tmp_path, QUICK, silent)


def test_the_log_says_how_well_each_fold_does_as_it_goes(shop: Shop) -> None:
    assert any("fold-0 validation-logloss=" in line for line in shop.log)
    assert any("fold-3 validation-logloss=" in line for line in shop.log)


def test_both_of_the_folders_models_answer(shop: Shop) -> None:
    model = inference.model_fn(str(shop.model))
    full, eighteen = np.zeros((2, len(FEATURES)), np.float32), np.zeros((3, len(ORIGINAL)), np.float32)
    assert [len(inference.predict_fn(rows, model)) for rows in (full, eighteen)] == [2, 3]
    with pytest.raises(ValueError, match="a row has 5 numbers; give all 76 of the model, or the 18 of the original"):
        inference.predict_fn(np.zeros((1, 5), np.float32), model)
