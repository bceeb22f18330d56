"""Networks of quantize_static through the reader and the golden model, against ONNX Runtime and back through a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from hwgen.golden.graph import run
from hwgen.golden.host import file_outputs
from hwgen.golden.inputs import quantize_input
from hwgen.model.graph import Conv, Graph, Pad, Pool, Requantize
from hwgen.model.onnx_reader import read_onnx
from hwgen.model.onnx_writer import write_onnx
from tests.model.onnx_cases import CASES, Case, concat, dense, pad_and_mean, pools
from tests.model.onnx_networks import quantise, run_onnx
from tests.references import compared


def nhwc(x: np.ndarray) -> np.ndarray:
    return x.transpose(0, 2, 3, 1) if x.ndim == 4 else x.reshape(1, 1, 1, -1)


def random_batch(graph: Graph, rng: np.random.Generator, images: int = 3) -> np.ndarray:
    return rng.integers(-128, 128, (images, *graph.tensors[graph.input].shape[1:])).astype(np.int8)


@pytest.mark.parametrize("unsigned", [False, True], ids=["int8", "uint8"])
@pytest.mark.parametrize("per_channel", [True, False], ids=["channel", "tensor"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_golden_matches_onnxruntime(case: Case, per_channel: bool, unsigned: bool, tmp_path: Path) -> None:
    seed = 7
    rng = np.random.default_rng(seed)
    path, x = quantise(*case(rng), tmp_path, unsigned=unsigned, per_channel=per_channel)
    graph = read_onnx(path)
    report = compared(path, graph, random_batch(graph, rng))
    assert report.equal and report.maps > 1, f"seed {seed}: {report.summary}"
    # The whole network too: layouts, flattening and concatenation order are only visible here.
    (got,) = file_outputs(graph, run(graph, quantize_input(graph, x)).tensors)
    expected = run_onnx(path, x)
    scale = graph.tensors[graph.output].scale
    assert np.abs(got - expected.reshape(got.shape)).max() <= 4 * scale + 1e-6, f"seed {seed}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_write_and_read_back(case: Case, tmp_path: Path) -> None:
    seed = 11
    rng = np.random.default_rng(seed)
    path, x = quantise(*case(rng), tmp_path)
    graph = read_onnx(path)
    write_onnx(graph, tmp_path / "again.onnx")
    again = read_onnx(tmp_path / "again.onnx")
    batch = random_batch(graph, rng)
    first, second = run(graph, batch, keep=True).tensors, run(again, batch, keep=True).tensors
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[name], second[name]) for name in first), f"seed {seed}"
    assert [type(op) for op in graph.ops] == [type(op) for op in again.ops]
    # Others see the layout of the file that it was read from.
    value, before = run_onnx(tmp_path / "again.onnx", x), run_onnx(path, x)
    assert (value.shape, value.dtype) == (before.shape, before.dtype)
    assert np.abs(value - before).max() <= 4 * again.tensors[again.output].scale + 1e-6, f"seed {seed}"
    (ours,) = file_outputs(again, run(again, quantize_input(again, x)).tensors)
    assert np.abs(value - ours.reshape(value.shape)).max() <= 4 * again.tensors[again.output].scale + 1e-6


def test_unsigned_maps_are_the_signed_ones(tmp_path: Path) -> None:
    graphs = []
    for unsigned in (False, True):
        path, _ = quantise(*dense(np.random.default_rng(5)), tmp_path, unsigned=unsigned)
        graphs.append(read_onnx(path))
    batch = random_batch(graphs[0], np.random.default_rng(6))
    assert np.array_equal(run(graphs[0], batch).output, run(graphs[1], batch).output)


def test_asymmetric_weights_keep_nine_bits(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    path, _ = quantise(*dense(rng), tmp_path, per_channel=False, extra_options={"WeightSymmetric": False})
    graph = read_onnx(path)
    convs = [op for op in graph.ops if isinstance(op, Conv)]
    assert any(op.weight.dtype == np.int16 for op in convs)
    assert (report := compared(path, graph, random_batch(graph, rng))).equal, report.summary
    write_onnx(graph, tmp_path / "again.onnx")
    for op, other in zip(convs, (op for op in read_onnx(tmp_path / "again.onnx").ops if isinstance(op, Conv)),
                         strict=True):
        assert np.array_equal(op.weight, other.weight)


def test_pads_move_into_convolutions(tmp_path: Path) -> None:
    path, _ = quantise(*pad_and_mean(np.random.default_rng(1)), tmp_path)
    graph = read_onnx(path)
    conv = next(op for op in graph.ops if isinstance(op, Conv))
    assert conv.pad == (1, 2, 0, 3)
    assert sum(isinstance(op, Pad) for op in graph.ops) == 1  # the one before the maximum stays


def test_concat_inputs_of_another_scale_are_requantised(tmp_path: Path) -> None:
    path, _ = quantise(*concat(np.random.default_rng(1)), tmp_path)
    graph = read_onnx(path)
    first = next(op for op in graph.ops if op.source == "Concat")
    scales = {(graph.tensors[n].scale, graph.tensors[n].zero_point) for n in (*first.inputs, first.output)}
    assert len(scales) == 1
    assert any(isinstance(op, Requantize) for op in graph.ops)


def test_average_with_counted_padding_divides_by_the_whole_window(tmp_path: Path) -> None:
    path, _ = quantise(*pools(np.random.default_rng(1)), tmp_path)
    averages = [op for op in read_onnx(path).ops if isinstance(op, Pool) and op.kind == "average"]
    assert averages[1].pad == (1, 1, 1, 1)
    assert averages[1].requant is not None
    assert averages[1].requant.rounding == "half_even"


def test_softmax_and_quantisation_run_on_the_host(tmp_path: Path) -> None:
    path, _ = quantise(*dense(np.random.default_rng(1)), tmp_path)
    graph = read_onnx(path)
    assert [step.kind for step in graph.host_steps][:3] == ["quantize", "dequantize", "softmax"]
    assert graph.ops[-1].output == graph.output


def test_symbolic_batch_is_one(tmp_path: Path) -> None:
    path, _ = quantise(*dense(np.random.default_rng(1)), tmp_path)
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"
    onnx.save(model, tmp_path / "symbolic.onnx")
    batch = random_batch(read_onnx(path), np.random.default_rng(2))
    assert np.array_equal(run(read_onnx(path), batch).output, run(read_onnx(tmp_path / "symbolic.onnx"), batch).output)
