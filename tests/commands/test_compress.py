"""`hwgen compress` from files to files: what it writes, and that bad input writes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import Result
from onnx import numpy_helper
from typer.testing import CliRunner

from hwgen.cli import app
from hwgen.compiler import compile_graph
from hwgen.derive import Derived
from hwgen.embedded import DATA, FLOAT_MODEL, MODEL
from hwgen.golden.graph import run
from hwgen.golden.inputs import quantize_input
from hwgen.golden.machine import Machine
from hwgen.isa import Buffer
from hwgen.model.onnx_reader import read_onnx
from hwgen.presets import preset

PRUNED = '[[step]]\nname = "prune"\nsparsity = 0.8\n\n[[step]]\nname = "quantize"\n'
INT8 = '[[step]]\nname = "quantize"\nbits = 8\n'
JOINT = """
[[step]]
name = "prune"
sparsity = 0.3

[[step]]
name = "svd"
ranks = { dense = 8 }

[[step]]
name = "quantize"
activation_range = "mse"

[[step]]
name = "bias_correction"
"""


def compress(folder: Path, recipe: str, *more: str, model: Path = MODEL, data: Path = DATA) -> Result:
    (folder / "recipe.toml").write_text(recipe)
    arguments = [model, "--recipe", folder / "recipe.toml", "--data", data, "-o", folder / "out.onnx",
                 "--json", folder / "out.json", *more]
    return CliRunner().invoke(app, ["compress", *map(str, arguments)])


def test_int8_of_the_embedded_network(tmp_path: Path) -> None:
    done = compress(tmp_path, INT8)
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "out.json").read_text())
    assert report["family"] == "quantization" and [row["name"] for row in report["rows"]] == ["digits", "quantize"]
    before, after = (row["accuracy"] for row in report["rows"])
    assert after["top1"] >= before["top1"] - 0.01 and after["low"] < after["top1"] < after["high"]
    assert "quantize" in done.stdout and f"{100 * after['top1']:.2f}" in done.stdout
    graph = read_onnx(tmp_path / "out.onnx")
    with np.load(DATA) as data:
        classes = run(graph, quantize_input(graph, data["x"])).output.reshape(-1, 10).argmax(axis=1)
        assert (classes == data["y"]).sum() == after["correct"]
    plan = json.loads((tmp_path / "out.plan.json").read_text())
    assert [step["technique"] for step in plan["steps"]] == ["quantize"] and len(plan["steps"][0]["layers"]) == 6


def test_joint_recipe(tmp_path: Path) -> None:
    done = compress(tmp_path, JOINT, "--train", str(DATA), "--seed", "5")
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "out.json").read_text())
    first, pruned, split, *rest, last = report["rows"]
    assert report["family"] == "joint" and report["seed"] == 5 and len(rest) == 1
    assert pruned["nonzero"] == pruned["weights"] - round(0.3 * pruned["weights"]) and pruned["mac_density"] < 1
    assert split["parameters"] == pruned["parameters"] - 10 * 128 + 8 * (10 + 128) + 8
    assert last["bytes"] < first["bytes"] / 2.5 and last["integer"] and not split["integer"]
    assert last["accuracy"]["top1"] > 0.9


def test_the_same_twice(tmp_path: Path) -> None:
    outputs = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        assert compress(tmp_path / name, JOINT).exit_code == 0
        outputs.append([(tmp_path / name / f"out.{kind}").read_bytes() for kind in ("onnx", "plan.json")])
    assert outputs[0] == outputs[1]


def test_without_labels(tmp_path: Path) -> None:
    with np.load(DATA) as data:
        np.savez(tmp_path / "x.npz", x=data["x"][:40])
    done = compress(tmp_path, INT8, data=tmp_path / "x.npz")
    assert done.exit_code == 0 and "no labels" in done.stdout
    assert all(row["accuracy"] is None for row in json.loads((tmp_path / "out.json").read_text())["rows"])


@pytest.mark.parametrize(("recipe", "message"), [
    ('[[step]]\nname = "prune"\nsparsity = 0.5\n', "a recipe must quantise the network"),
    (INT8 + "activation_bits = 12\n", "step 1 (quantize): x: activations must have at most 8 bits on the machine"),
    (INT8 + 'granularity = "group"\ngroup = 1\n', "step 1 (quantize): stem: scales per group"),
    ('[[step]]\nname = "quantise"\n', "step 1 (quantise): unknown step 'quantise'"),
    (INT8 + '[[step]]\nname = "prune"\nsparsity = 0.5\n', "step 2 (prune): must stand before quantize"),
    ('[[step]]\nname = "prune"\nsparsity = 1.5\n' + INT8, "step 1 (prune): sparsity must be in 0..1, not 1.5"),
    ('[[step]]\nname = "tucker"\nin_ranks = { stem = 2 }\nout_ranks = { stem = 8 }\n' + INT8,
     "step 1 (tucker): stem: in_ranks must be at most 1"),
    ('[[step]]\nname = "prune_channels"\nlayer_ratio = { dense = 0.5 }\n' + INT8,
     "step 1 (prune_channels): dense: its channels cannot be removed: they are the network's output"),
    ('[[step]]\nname = "prune"\ngrain = "vector"\nsparsity = 0.5\nlayers = ["dense"]\n' + INT8,
     "step 1 (prune): dense: grain vector does not fit"),
    ('[[step]]\nname = "svd"\nranks = { dense = 99 }\n' + INT8, "step 1 (svd): dense: rank must be at most 10"),
    ('[[step]]\nname = "prune"\nsparsity = 0.5\nlayers = ["dence"]\n' + INT8, "there is no layer 'dence' with weights"),
])
def test_bad_recipes_leave_nothing(recipe: str, message: str, tmp_path: Path) -> None:
    done = compress(tmp_path, recipe)
    assert done.exit_code == 2 and message in done.stderr.replace("\n", " "), done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["recipe.toml"]


def test_bad_data_leave_nothing(tmp_path: Path) -> None:
    with np.load(DATA) as data:
        x, y = data["x"], data["y"]
    for change, message in (({"x": x[:10], "y": y[:10]}, "step 1 (quantize): at least 16 samples are needed, not 10"),
                            ({"x": x * np.nan, "y": y}, "x must be finite"),
                            ({"x": x, "y": y + 1}, "the labels y must be in 0..9"),
                            ({"x": x[:, :4], "y": y}, "must have the shape")):
        np.savez(tmp_path / "bad.npz", **change)
        done = compress(tmp_path, INT8, data=tmp_path / "bad.npz")
        assert done.exit_code == 2 and message in done.stderr.replace("\n", " "), done.stderr
        assert {p.name for p in tmp_path.iterdir()} == {"recipe.toml", "bad.npz"}


def test_a_shipped_recipe_by_name(tmp_path: Path) -> None:
    arguments = ["compress", MODEL, "--recipe", "int8", "--data", DATA, "-o", tmp_path / "out.onnx"]
    done = CliRunner().invoke(app, [*map(str, arguments)])
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "out.plan.json").read_text())["recipe"] == "int8.toml"
    arguments[3] = "int9"
    done = CliRunner().invoke(app, [*map(str, arguments[:-1]), str(tmp_path / "other.onnx")])
    assert done.exit_code == 2 and "there is no recipe 'int9'" in done.stderr and "w4a8_adaround" in done.stderr
    assert not (tmp_path / "other.onnx").exists()


def test_messages_call_a_shipped_recipe_by_its_name(tmp_path: Path) -> None:
    with np.load(DATA) as data:
        np.savez(tmp_path / "few.npz", x=data["x"][:10], y=data["y"][:10])
    arguments = ["compress", MODEL, "--recipe", "int8", "--data", tmp_path / "few.npz", "-o", tmp_path / "out.onnx"]
    done = CliRunner().invoke(app, [*map(str, arguments)])
    assert done.exit_code == 2 and "\nerror: int8: step 1 (quantize): " in done.stderr, done.stderr


def test_weights_that_are_no_numbers_leave_nothing(tmp_path: Path) -> None:
    model = onnx.load(FLOAT_MODEL)
    weight = next(t for t in model.graph.initializer if t.name == "dense/weight")
    values = numpy_helper.to_array(weight).copy()
    values[3, 1] = np.nan
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    onnx.save(model, tmp_path / "bad.onnx")
    done = compress(tmp_path, INT8, model=tmp_path / "bad.onnx")
    said = done.stderr.replace("\n", " ")
    assert done.exit_code == 2 and "dense" in said and "must be finite, but hold NaN" in said, said
    assert {p.name for p in tmp_path.iterdir()} == {"recipe.toml", "bad.onnx"}


def test_a_scheme_that_the_machine_lacks(tmp_path: Path) -> None:
    done = compress(tmp_path, INT8 + "weight_bits = 12\n", "--annotate", model=FLOAT_MODEL)
    assert done.exit_code == 0 and "the machine has no such scheme" in done.stdout, done.output
    props = {p.key: p.value for p in onnx.load(tmp_path / "out.onnx").metadata_props}
    assert json.loads(props["hwgen.layers"])["dense"]["quantizer"]["bits"] == 12
    assert not json.loads((tmp_path / "out.json").read_text())["rows"][1]["integer"]


def test_output_must_be_onnx(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(INT8)
    arguments = ["compress", MODEL, "--recipe", tmp_path / "recipe.toml", "--data", DATA, "-o", tmp_path / "out.bin"]
    done = CliRunner().invoke(app, [*map(str, arguments)])
    assert done.exit_code == 2 and "the output must be an .onnx file" in done.stderr


@pytest.mark.parametrize("machine", ["base", "base-sparse"])
def test_weights_take_the_same_bytes_everywhere(tmp_path: Path, machine: str) -> None:
    """Counted by the compressor, by the compiler, and moved by the golden machine, whose bytes the RTL's must equal."""
    done = compress(tmp_path, PRUNED, "--preset", machine)
    assert done.exit_code == 0, done.output
    counted = json.loads((tmp_path / "out.json").read_text())["machine"]
    assert f"weights on {machine}: {counted['weight_bytes']:,} bytes" in done.stdout
    program = compile_graph(read_onnx(tmp_path / "out.onnx"), preset(machine))
    assert counted["layers"] == {x.name: x.weight_bytes for x in program.layers if x.weight_bytes}
    image = program.image(np.zeros(program.layouts[program.inputs[program.graph.input]].shape, np.int8))
    work = Machine(program.config).run(program.commands, image).work
    moved = sum(
        done.items
        for done, entry in zip(work, program.entries, strict=True)
        if entry.name == "LOAD" and entry.args["buffer"] == Buffer.WEIGHT
    )
    assert counted["weight_bytes"] == program.weight_bytes == moved * Derived(program.config).dma_bytes


def test_pruned_weights_are_stored_smaller(tmp_path: Path) -> None:
    sizes = []
    for machine in ("base", "base-sparse"):
        assert compress(tmp_path, PRUNED, "--preset", machine).exit_code == 0
        sizes.append(json.loads((tmp_path / "out.json").read_text())["machine"]["weight_bytes"])
    assert sizes[1] < 0.6 * sizes[0], sizes
