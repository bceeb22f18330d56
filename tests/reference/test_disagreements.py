"""The table "Where references disagree" of docs/verification.md: what the runtimes do in each row, and hwgen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from hwgen.golden.graph import run
from hwgen.golden.inputs import from_maps, random_inputs
from hwgen.model import load_model
from hwgen.model.graph import Conv
from hwgen.reference.runtime import LITERT, TFLITE_MICRO, RefusalError, Runtime
from hwgen.verify.reference import compare, keys
from tests.model.tflite_cases import SAME, build
from tests.shared_data import shared_file
from tests.tflite_builder import TfliteBuilder

EVERY = np.arange(-128, 128, dtype=np.int8).reshape(1, 1, 16, 16, 1)
"""Every int8 value, as one image of an input of shape (1, 16, 16, 1)."""

Array = NDArray[Any]


def at(package: str, tested: str) -> None:
    """Skip unless the package has the version that the row is about."""
    try:
        found = version(package)
    except PackageNotFoundError:
        pytest.skip(f"{package} is not installed (hwgen[reference])")
    if found != tested:
        pytest.skip(f"the row is about {package} {tested}, not {found}")


def micro() -> None:
    at("tflite-micro", "0.dev20261023182759")


def litert() -> None:
    at("ai-edge-litert", "2.3.0")


def output(runtime: Runtime, path: Path, *inputs: Array) -> Array:
    return runtime.run(path, inputs, []).outputs[0].astype(np.int64)


def golden(path: Path, *inputs: Array) -> Array:
    graph = load_model(path)
    return run(graph, dict(zip(graph.input_maps, (x[:, 0] for x in inputs), strict=True))).output[:, None].astype(int)


def activation(folder: Path, kind: str, scale: float, target: float, zero_point: int = -128) -> Path:
    b = TfliteBuilder()
    x = b.tensor((1, 16, 16, 1), scale=np.float32(scale))
    y = b.op(kind, [x], b.tensor((1, 16, 16, 1), scale=np.float32(target), zero_point=zero_point))
    return b.save(folder / "m.tflite", [x], [y])


def differ(a: Array, b: Array) -> float:
    return float((a != b).mean())


class TestTflite:
    def test_relu6_of_micro_ignores_the_scale_of_the_output(self, tmp_path: Path) -> None:
        micro()
        path = activation(tmp_path, "RELU6", 0.1, 0.05, -10)
        theirs, ours = output(TFLITE_MICRO, path, EVERY), golden(path, EVERY)
        # Integers are clamped between the input's 0 and 6, and that is all.
        assert np.array_equal(theirs, np.clip(EVERY, 0, 60)) and differ(theirs, ours) > 0.9
        litert()
        assert np.array_equal(ours, output(LITERT, path, EVERY))

    def test_verify_asks_no_wrong_kernel(self, tmp_path: Path) -> None:
        micro()
        path = activation(tmp_path, "RELU6", 0.1, 0.05, -10)
        graph = load_model(path)
        given = from_maps(graph, {graph.input: EVERY[0]})
        answers = [(TFLITE_MICRO, TFLITE_MICRO.run(path, given, keys(graph)))]
        found = compare(graph, given, answers)
        assert found.equal and any("RELU6" in text for text in found.left_out) and found.end_to_end is None
        litert()
        found = compare(graph, given, [*answers, (LITERT, LITERT.run(path, given, keys(graph)))])
        assert found.equal and not found.left_out
        assert found.end_to_end == {"values": 256, "different": 0, "largest": 0.0}

    @pytest.mark.parametrize("name", ["relu6_scale.tflite", "relu6_0.0235.tflite"])
    def test_relu6_of_the_format(self, name: str) -> None:
        litert()
        path = shared_file("cases", name)
        shape = load_model(path).inputs[0].shape
        x = np.random.default_rng(1).integers(-128, 128, (8, *shape), dtype=np.int8)
        assert np.array_equal(golden(path, x), output(LITERT, path, x))

    def test_micro_has_no_relu_between_minus_one_and_one(self, tmp_path: Path) -> None:
        micro()
        path = activation(tmp_path, "RELU_N1_TO_1", 0.1, 0.0235294122248888)
        with pytest.raises(RefusalError):
            output(TFLITE_MICRO, path, EVERY)
        litert()
        assert np.array_equal(golden(path, EVERY), output(LITERT, path, EVERY))

    def test_relu_divides_scales_in_double_or_single_precision(self, tmp_path: Path) -> None:
        micro()
        path = activation(tmp_path, "RELU", 0.1, 0.0235294122248888)  # 4.25 in float32, less in double
        ours, theirs = golden(path, EVERY), output(TFLITE_MICRO, path, EVERY)
        assert np.array_equal(ours, theirs)
        litert()
        assert np.count_nonzero(ours != output(LITERT, path, EVERY)) == 15

    def test_fully_connected_rounds_once_or_twice(self, tmp_path: Path) -> None:
        micro()
        path = build("flatten_dense", tmp_path, 3)
        graph = load_model(path)
        dense = graph.ops[-1]
        view = graph.tensors[dense.output].view
        assert view is not None
        x = np.random.default_rng(3).integers(-128, 128, (200, *graph.inputs[0].shape), dtype=np.int8)
        ours = run(graph, x[:, 0], keep=True).tensors[dense.output]
        theirs = TFLITE_MICRO.run(path, [x], [view.key]).tensors[view.key]
        assert np.array_equal(ours.ravel(), theirs.ravel())
        litert()
        other = LITERT.run(path, [x], [view.key]).tensors[view.key].astype(int)
        assert 0 < differ(theirs, other) < 0.02 and np.abs(theirs - other).max() == 1
        (requant,) = (replace(op.requant, rounding="single") for op in [dense] if isinstance(op, Conv))
        once = replace(graph, ops=(*graph.ops[:-1], replace(dense, requant=requant)))
        assert np.array_equal(run(once, x[:, 0], keep=True).tensors[dense.output].ravel(), other.ravel())

    @pytest.mark.parametrize("kind", ["uint8", "int4"])
    @pytest.mark.parametrize("seed", range(8))
    def test_fully_connected_that_litert_alone_runs_rounds_once(self, kind: str, seed: int, tmp_path: Path) -> None:
        """Of uint8, and of int4 weights with a scale a channel."""
        litert()
        rng = np.random.default_rng(seed)
        unsigned = kind == "uint8"
        scale = np.float32(rng.uniform(0.005, 0.05))
        scales = rng.uniform(0.005, 0.05, 1 if unsigned else 40).astype(np.float32)
        low, high = (0, 255) if unsigned else (-7, 7)
        maps = "uint8" if unsigned else "int8"
        b = TfliteBuilder()
        x = b.tensor((1, 60), scale=scale, zero_point=int(rng.integers(0, 128)), dtype=maps)
        weight = b.tensor((40, 60), scale=scales, zero_point=np.full(len(scales), rng.integers(0, 256) * unsigned),
                          dtype=kind, data=rng.integers(low, high + 1, (40, 60)).astype(maps))
        bias = b.constant(rng.integers(-900, 900, 40).astype(np.int32), scale=scale * scales)
        y = b.tensor((1, 40), scale=np.float32(rng.uniform(0.05, 0.2)), zero_point=100, dtype=maps)
        path = b.save(tmp_path / "m.tflite", [x], [b.op("FULLY_CONNECTED", [x, weight, bias], y)])
        graph = load_model(path)
        given = random_inputs(graph, 300, seed)
        with pytest.raises(RefusalError):
            TFLITE_MICRO.run(path, given, keys(graph))
        found = compare(graph, given, [(LITERT, LITERT.run(path, given, keys(graph)))])
        assert found.equal and not found.left_out and found.end_to_end is not None, found.summary

    @pytest.mark.parametrize("seed", range(4))
    def test_a_file_has_one_runtime(self, seed: int, tmp_path: Path) -> None:
        """RELU6 that TFLite Micro computes wrongly makes the FULLY_CONNECTED before it LiteRT's, too."""
        litert()
        rng = np.random.default_rng(seed)
        b = TfliteBuilder()
        x = b.tensor((1, 60), scale=np.float32(0.05), zero_point=3)
        weight = b.constant(rng.integers(-127, 128, (200, 60)).astype(np.int8), scale=np.float32(0.01))
        dense = b.op("FULLY_CONNECTED", [x, weight], b.tensor((1, 200), scale=np.float32(0.2)))
        y = b.op("RELU6", [dense], b.tensor((1, 200), scale=np.float32(0.03), zero_point=-128))
        path = b.save(tmp_path / "m.tflite", [x], [y])
        graph = load_model(path)
        assert [op.requant.rounding for op in graph.ops if isinstance(op, Conv)] == ["single"]
        given = random_inputs(graph, 50, seed)
        answers = [(runtime, runtime.run(path, given, keys(graph))) for runtime in (TFLITE_MICRO, LITERT)
                   if runtime.installed]
        found = compare(graph, given, answers)
        assert found.equal and not found.left_out and found.end_to_end is not None, found.summary

    def test_micro_takes_the_stored_batch_of_a_dilated_convolution_for_the_real_one(self) -> None:
        micro()
        litert()
        path = shared_file("networks", "keras_tcn_dil.tflite")
        graph = load_model(path)
        given = random_inputs(graph, 4, 1)
        answers = [(runtime, runtime.run(path, given, keys(graph))) for runtime in (TFLITE_MICRO, LITERT)]
        dilated = next(op for op in graph.ops if "SPACE_TO_BATCH_ND" in op.source)
        view = graph.tensors[dilated.output].view
        assert view is not None
        first, second = (found.tensors[view.key] for _, found in answers)
        assert first.shape != second.shape or differ(first, second) > 0.3
        assert compare(graph, given, answers).equal

    def test_micro_takes_constants_behind_the_flatbuffer_for_absent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        litert()
        path = shared_file("cases", "conv_offset_buffers.tflite")
        from ai_edge_litert.interpreter import Interpreter

        (entry,) = Interpreter(str(path)).get_input_details()
        shape = tuple(int(n) for n in entry["shape"])
        x = np.random.default_rng(1).integers(-128, 128, (2, *shape)).astype(entry["dtype"])
        expected = output(LITERT, path, x)
        micro()
        with pytest.raises(RefusalError, match="behind the flatbuffer"):
            output(TFLITE_MICRO, path, x)
        monkeypatch.setattr("hwgen.reference.tflite_micro._behind", lambda data: False)
        assert differ(output(TFLITE_MICRO, path, x), expected) > 0.5

    @pytest.mark.parametrize(
        ("kind", "shape", "options", "low", "high"),
        [
            ("ADD", (32, 32), {}, 0.2, 0.3),
            ("SUB", (32, 32), {}, 0.2, 0.3),
            ("LEAKY_RELU", (32, 32), {"Alpha": 0.25}, 0.1, 0.2),
            ("RESIZE_BILINEAR", (64, 64), {}, 0.1, 0.2),
            ("AVERAGE_POOL_2D", (16, 16), {"FilterHeight": 2, "FilterWidth": 2, "StrideH": 2, "StrideW": 2,
                                           "Padding": SAME}, 0.0, 0.0),
        ],
    )  # fmt: skip
    def test_xnnpack(self, tmp_path: Path, kind: str, shape: tuple[int, int], options: dict[str, Any], low: float,
                     high: float) -> None:
        """LiteRT's default kernels; its reference kernels equal TFLite Micro's here."""
        litert()
        micro()
        from ai_edge_litert.interpreter import Interpreter

        b = TfliteBuilder()
        entries = [b.tensor((1, 32, 32, 4), scale=0.1) for _ in range(1 + (kind in ("ADD", "SUB")))]
        sizes = [b.constant(np.array(shape, np.int32))] if kind == "RESIZE_BILINEAR" else []
        target = b.tensor((1, *shape, 4), scale=0.2 if len(entries) == 2 else 0.1)
        path = b.save(tmp_path / "m.tflite", entries, [b.op(kind, [*entries, *sizes], target, **options)])
        rng = np.random.default_rng(1)
        given = [rng.integers(-128, 128, (1, 1, 32, 32, 4), dtype=np.int8) for _ in entries]
        fast = Interpreter(str(path), num_threads=1)
        fast.allocate_tensors()
        for detail, x in zip(fast.get_input_details(), given, strict=True):
            fast.set_tensor(detail["index"], x[0])
        fast.invoke()
        theirs = fast.get_tensor(fast.get_output_details()[0]["index"])[None].astype(int)
        reference = output(TFLITE_MICRO, path, *given)
        assert np.array_equal(reference, output(LITERT, path, *given))
        assert low <= differ(theirs, reference) <= high and np.abs(theirs - reference).max() <= 1


def constant(name: str, value: Any) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(value), name)


def quantised(value: str, name: str) -> list[onnx.NodeProto]:
    """``value`` through QuantizeLinear and DequantizeLinear; scale and zero point are constants."""
    given = [f"{name}_scale", f"{name}_zero_point"]
    return [helper.make_node("QuantizeLinear", [value, *given], [f"{name}_q"]),
            helper.make_node("DequantizeLinear", [f"{name}_q", *given], [name])]


def saved(folder: Path, nodes: Sequence[onnx.NodeProto], constants: Sequence[onnx.TensorProto], shape: list[int],
          kind: int = TensorProto.FLOAT, opset: int = 21) -> Path:
    """A model of the input ``x`` and the output ``y``, of the type ``kind`` both."""
    graph = helper.make_graph(list(nodes), "g", [helper.make_tensor_value_info("x", kind, shape)],
                              [helper.make_tensor_value_info("y", kind, None)], list(constants))
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), folder / "m.onnx")
    return folder / "m.onnx"


def onnxruntime(path: Path, x: Array, *, optimised: bool) -> Array:
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimised else levels.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


ENDS = [constant("a_scale", np.float32(0.05)), constant("a_zero_point", np.int8(0)),
        constant("y_scale", np.float32(0.1)), constant("y_zero_point", np.int8(0))]
"""Constants around one operator between ``a`` and ``y``."""


class TestOnnxRuntime:
    def test_fused_gemm_reads_the_bias_with_another_scale(self, tmp_path: Path) -> None:
        at("onnxruntime", "1.32.0")
        weight = np.random.default_rng(1).integers(-127, 128, (4, 8)).astype(np.int8)
        bias = np.array([100, -200, 300, 50], np.int32)
        constants = [*ENDS, constant("w_q", weight), constant("w_scale", np.float32(0.01)),
                     constant("zero", np.int8(0)), constant("b_q", bias), constant("b_scale", np.float32(0.005))]
        nodes = [*quantised("x", "a"), helper.make_node("DequantizeLinear", ["w_q", "w_scale", "zero"], ["w"]),
                 helper.make_node("DequantizeLinear", ["b_q", "b_scale"], ["b"]),
                 helper.make_node("Gemm", ["a", "w", "b"], ["r"], transB=1), *quantised("r", "y")]
        path, x = saved(tmp_path, nodes, constants, [1, 8]), np.zeros((1, 8), np.float32)
        assert np.allclose(onnxruntime(path, x, optimised=False), bias * 0.005, atol=0.051)  # not 0.05 * 0.01
        assert np.allclose(onnxruntime(path, x, optimised=True), bias * 0.05 * 0.01, atol=0.051)
        graph = load_model(path)
        ours = run(graph, np.zeros((1, 1, 1, 8), np.int8)).output.ravel() * 0.1
        assert np.allclose(ours, onnxruntime(path, x, optimised=False).ravel())

    def test_optimised_int2_weights_are_refused(self, tmp_path: Path) -> None:
        at("onnxruntime", "1.32.0")
        weight = helper.make_tensor("w_q", TensorProto.INT2, [8, 4], [1, -1, 0, -2] * 8)
        nodes = [*quantised("x", "a"), helper.make_node("DequantizeLinear", ["w_q", "w_scale"], ["w"]),
                 helper.make_node("MatMul", ["a", "w"], ["r"]), *quantised("r", "y")]
        path = saved(tmp_path, nodes, [*ENDS, weight, constant("w_scale", np.float32(0.1))], [1, 8], opset=25)
        x = np.ones((1, 8), np.float32)
        assert np.allclose(onnxruntime(path, x, optimised=False), [[0.8, -0.8, 0.0, -1.6]])
        with pytest.raises(Exception, match=r"tensor\(int2\).*QLinearMatMul"):
            onnxruntime(path, x, optimised=True)

    @pytest.mark.parametrize("zero_point", [0, 1, 3, -7, -8])
    def test_ties_with_an_odd_zero_point(self, tmp_path: Path, zero_point: int) -> None:
        """By QuantizeLinear, the operator that the format defines: round to even, then add the zero point."""
        at("onnxruntime", "1.32.0")
        x = np.arange(-16, 16, dtype=np.int8).reshape(1, 1, 32, 1)
        own, target = ["own_scale", "own_zero"], ["to_scale", "to_zero"]
        constants = [constant("own_scale", np.float32(0.5)), constant("own_zero", np.int8(0)),
                     constant("to_scale", np.float32(1)), constant("to_zero", np.int8(zero_point)),
                     constant("w", np.ones((1, 1, 1, 1), np.int8)), constant("m", np.ones((1, 1, 1, 1), np.int8)),
                     constant("w_scale", np.float32(1)), constant("zeros", np.zeros_like(x))]
        rounded_first = np.rint(x / 2).ravel() + zero_point
        added_first = np.rint(x / 2 + zero_point).ravel()
        assert (rounded_first == added_first).all() == (zero_point % 2 == 0)
        weight = ["w_scale", "own_zero"]
        operators = [
            ([helper.make_node("DequantizeLinear", ["x", *own], ["r"]),
              helper.make_node("QuantizeLinear", ["r", *target], ["y"])], rounded_first),
            ([helper.make_node("QLinearConv", ["x", *own, "w", *weight, *target], ["y"])], rounded_first),
            ([helper.make_node("QLinearMatMul", ["x", *own, "m", *weight, *target], ["y"])], rounded_first),
            ([helper.make_node("QLinearAdd", ["x", *own, "zeros", *own, *target], ["y"], domain="com.microsoft")],
             added_first),
            ([helper.make_node("QLinearAveragePool", ["x", *own, *target], ["y"], domain="com.microsoft",
                               kernel_shape=[1, 1])], added_first),
        ]
        for nodes, expected in operators:
            path = saved(tmp_path, nodes, constants, list(x.shape), TensorProto.INT8)
            got = onnxruntime(path, x, optimised=True).ravel()
            assert np.array_equal(got, expected), nodes[-1].op_type
