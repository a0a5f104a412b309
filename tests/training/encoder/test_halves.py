import csv
from pathlib import Path

import numpy as np
import onnx

from router import Router
from router.classify.encoder import OnnxEncoder
from router.classify.encoder_files import open_graph
from training.encoder.folder import knows_other_tasks, write_half
from training.encoder.onnx_graph import count_layers, cut_graph
from training.pipeline import train
from training.result import TrainingResult

TEXTS = ["book a room for friday", "why was i charged twice?", "帮我取消订单"]


def test_a_cut_graph_gives_the_vectors_of_that_layer(root: Path) -> None:
    encoder = OnnxEncoder.load(root / "models/default/encoder")
    model = (root / "models/default/encoder/model.onnx").read_bytes()
    assert count_layers(model) == 6
    proto = onnx.load_from_string(model)
    names = [node.output[0] for node in proto.graph.node if node.op_type == "SkipLayerNormalization"]
    proto.graph.output.append(onnx.helper.make_tensor_value_info(names[5], onnx.TensorProto.FLOAT, None))
    whole, cut = open_graph(proto.SerializeToString()), open_graph(cut_graph(model, 3))
    for text in TEXTS:
        ids = np.array([encoder.tokenize(text)])
        asked = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        np.testing.assert_array_equal(cut.run(None, asked)[0], whole.run([names[5]], asked)[0])


def test_a_graph_of_another_kind_has_no_layers(root: Path) -> None:
    proto = onnx.load(str(root / "models/default/encoder/model.onnx"))
    del proto.graph.node[:]
    assert count_layers(proto.SerializeToString()) == 0


def test_only_tasks_that_the_encoder_was_not_tuned_on_get_half_of_it(root: Path, tmp_path: Path) -> None:
    encoder, half = root / "models/default/encoder", tmp_path / "half"
    with (root / "data/prompts.csv").open(encoding="utf-8", newline="") as file:
        known = [row["prompt"] for row in csv.DictReader(file)][:200]
    assert knows_other_tasks(encoder, TEXTS, ["billing", "returns"])
    assert not knows_other_tasks(encoder, TEXTS, ["billing", "coding"])
    assert not knows_other_tasks(encoder, [*TEXTS, *known], ["billing", "returns"])
    write_half(encoder, half)
    assert not knows_other_tasks(half, TEXTS, ["billing", "returns"])


def describe(name: str, root: Path, folder: Path) -> Path:
    """Write the descriptions of a label set with a built-in task for each, whose figures the benchmark has."""
    text = (root / f"data/label_sets/{name}.toml").read_text(encoding="utf-8")
    path = folder / f"{name}.toml"
    path.write_text(text.replace("\ndescription", '\nlike = "qa"\ndescription'), encoding="utf-8")
    return path


def learn(out: Path, root: Path, described: Path, prompts: Path | None = None) -> TrainingResult:
    """Train with the shipped encoder and benchmark."""
    given = {"encoder": root / "models/default/encoder", "described": described, "jobs": 1}
    return train(prompts, root / "data/benchmark.csv", out, **given)


def test_a_folder_with_half_an_encoder_is_trained_and_routes(root: Path, tmp_path: Path) -> None:
    result = learn(tmp_path / "mine", root, describe("support", root, tmp_path))
    assert any("middle of its layers" in note for note in result.notes)
    assert any("measured on descriptions" in note for note in result.notes)
    assert count_layers((tmp_path / "mine/encoder/model.onnx").read_bytes()) == 3
    decision = Router.load(tmp_path / "mine").route("you charged my card two times, i want that money back")
    assert decision.task == "billing"


def test_unlabelled_prompts_show_where_descriptions_belong(root: Path, tmp_path: Path) -> None:
    with (root / "data/label_sets/office.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    waiting, asked = rows[::18], rows[1::9]
    path = tmp_path / "labels.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["prompt", "task", "proposed"])
        writer.writerows((row["prompt"], "", "qa") for row in waiting)
    described = describe("office", root, tmp_path)
    learn(tmp_path / "without", root, described)
    learn(tmp_path / "with", root, described, path)
    routers = {name: Router.load(tmp_path / name) for name in ("without", "with")}
    right = {name: sum(router.route(row["prompt"]).task == row["task"] for row in asked) for name, router in routers.items()}
    assert len(waiting) >= 20
    assert right["with"] > right["without"] + len(asked) * 0.05
