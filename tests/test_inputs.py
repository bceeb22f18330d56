"""The file of inputs: what it may hold, which array is which input, and that no file gives a traceback."""

from __future__ import annotations

import io
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.golden.inputs import from_maps, quantize_input, random_inputs, to_maps
from hwgen.inputs import load_arrays, load_inputs, read_inputs
from hwgen.model.graph import Graph, Requant, Requantize, Tensor, plain_graph
from hwgen.model.ports import FileView, Port, Step
from tests.shared_data import shared_file

REQUANT = Requant(np.array([1 << 30]), np.array([1]), 0)


def network(*names: str) -> Graph:
    """A network of an input for each name, (1, 2, 2, 3), each handed on as an output of its own."""
    tensors = {n: Tensor(n, (1, 2, 2, 3), 0.5, 0) for n in (*names, *(f"{n}_out" for n in names))}
    ops = [Requantize(name=f"{n}_op", inputs=(n,), output=f"{n}_out", requant=REQUANT) for n in names]
    return plain_graph("network", "onnx", tensors, ops, names, [f"{n}_out" for n in names])


def write(folder: Path, **arrays: object) -> Path:
    np.savez(folder / "in.npz", **arrays)
    return folder / "in.npz"


def images(count: int, value: int = 0) -> np.ndarray:
    return np.full((count, 2, 2, 3), value, np.int8)


def test_inputs_by_name_or_number_in_the_networks_order(tmp_path: Path) -> None:
    graph = network("left", "right")
    for arrays in ({"right": images(3, 2), "left": images(3, 1)}, {"x1": images(3, 2), "x0": images(3, 1)}):
        values = read_inputs(graph, write(tmp_path, **arrays)).values
        assert [int(v.max()) for v in values] == [1, 2] and all(v.shape == (3, 1, 2, 2, 3) for v in values)


def test_an_input_that_is_missing_is_named_with_its_shape(tmp_path: Path) -> None:
    with pytest.raises(HwgenError, match=r"'right'.*\(1, 2, 2, 3\)"):
        read_inputs(network("left", "right"), write(tmp_path, left=images(2)))
    with pytest.raises(HwgenError, match="no array left or right or x0 or x1, but x"):
        read_inputs(network("left", "right"), write(tmp_path, x=images(2)))


def test_an_input_may_be_called_y(tmp_path: Path) -> None:
    found = read_inputs(network("y"), write(tmp_path, y=images(2, 5)))
    assert found.labels is None and int(found.values[0].max()) == 5


def test_other_arrays_are_not_even_read(tmp_path: Path) -> None:
    found = read_inputs(network("a"), write(tmp_path, x=images(2), names=np.array([{}, {}], object)))
    assert len(found.values[0]) == 2


def test_limit_takes_the_first_and_their_labels(tmp_path: Path) -> None:
    graph = network("a")
    tensors = dict(graph.tensors) | {"o": Tensor("o", (1, 1, 1, 12), 0.5, 0)}
    graph = plain_graph("n", "onnx", tensors, graph.ops, "a", "o")
    x = np.arange(5, dtype=np.int8)[:, None, None, None] + images(5)
    found = read_inputs(graph, write(tmp_path, x=x, y=np.arange(5)), 2)
    assert found.labels is not None and found.labels.tolist() == [0, 1]
    assert [int(v.max()) for v in found.values[0]] == [0, 1]
    assert len(read_inputs(graph, write(tmp_path, x=x), 9).values[0]) == 5


def test_saturation_is_told_by_its_share(tmp_path: Path) -> None:
    x = np.zeros((1, 2, 2, 3), np.float32)
    x[0, 0, 0] = (-64.2, 63.7, 64)  # half a step is rounding, more is not
    found = read_inputs(network("a"), write(tmp_path, x=x))
    assert found.saturated == {"a": pytest.approx(1 / 12)} and "8.3 %" in found.warnings[0]
    assert not read_inputs(network("a"), write(tmp_path, x=np.clip(x, -64.2, 63.7))).warnings


def test_values_in_other_units_are_told(tmp_path: Path) -> None:
    """Pixels of 0..1 where the network was trained on 0..255: nothing saturates, and two of 256 steps are used."""
    graph = network("a")  # covers -64 to 63.5
    x = np.random.default_rng(1).uniform(0, 1, (2, 2, 2, 3)).astype(np.float32)
    (warning,) = read_inputs(graph, write(tmp_path, x=x)).warnings
    assert "covers -64 to 63.5" in warning and "units" in warning
    assert not read_inputs(graph, write(tmp_path, x=x * 10)).warnings
    assert not read_inputs(graph, write(tmp_path, x=x * 0)).warnings
    assert not read_inputs(graph, write(tmp_path, x=images(2))).warnings


def test_values_beyond_float32(tmp_path: Path) -> None:
    with pytest.raises(HwgenError, match=r"finite in float32, but holds 1e\+300"):
        read_inputs(network("a"), write(tmp_path, x=np.full((1, 2, 2, 3), 1e300)))


@pytest.mark.parametrize("name", ["npz_tokenerror.npz", "npz_typeerror.npz"])
def test_headers_that_numpy_trips_over(name: str) -> None:
    with pytest.raises(HwgenError, match="plain arrays"):
        load_inputs(shared_file("cases", name))


def test_a_member_that_is_no_array(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "in.npz", "w") as archive:
        archive.writestr("x.npy", b"text")
    with pytest.raises(HwgenError, match="plain arrays"):
        load_inputs(tmp_path / "in.npz")


def test_damaged_headers_give_one_message(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    for _ in range(300):
        header = bytearray(b"{'descr': '|i1', 'fortran_order': False, 'shape': (2, 3), }")
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(header))
            header[at : at + rng.randrange(3)] = rng.choice(
                [b"(", b")", b"'", b"-", b"9", b"None", b"\x00", b"\n", b"True", b"[", b"{", b"\\", b"1e9", b"\xff"])
        text = bytes(header).ljust(117) + b"\n"
        content = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(6)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("x.npy", content)
        (tmp_path / "in.npz").write_bytes(buffer.getvalue())
        try:
            load_arrays(tmp_path / "in.npz", ["x"])
        except HwgenError:
            pass
        except Exception as error:
            raise AssertionError(f"seed {seed}, header {text!r}") from error


def ported(order: tuple[int, int, int, int], shape: tuple[int, ...], *steps: Step, kind: str = "float32") -> Graph:
    """A network of the map (1, 2, 4, 3) that its file sees in another order and shape, real or not."""
    tensors = {"a": Tensor("a", (1, 2, 4, 3), 0.5, 3)}
    view = FileView(key="a", shape=tuple(np.array((1, 2, 4, 3))[list(order)]), order=order)
    end = Step(kind="quantize", name="q", source="QuantizeLinear", attrs={"scale": 0.5, "zero_point": 3})
    scale = {"scale": 0.5, "zero_point": 3} if kind == "int8" else {"steps": (*steps, end)}
    port = Port(name="x", map="a", view=view, type=kind, shape=shape, **scale)  # type: ignore[arg-type]
    return Graph("n", "onnx", tensors, (), (port,), (port,))


NCHW = (0, 3, 1, 2)
TURN = Step(kind="transpose", name="t", source="Transpose", attrs={"perm": (0, 3, 1, 2)})
CASES = [ported(NCHW, (1, 3, 2, 4)), ported((0, 1, 2, 3), (1, 2, 4, 3)), ported(NCHW, (1, 2, 4, 3), TURN),
         ported(NCHW, (1, 3, 2, 4), kind="int8")]


@pytest.mark.parametrize("graph", CASES, ids=["nchw", "nhwc", "nhwc turned by the network", "int8"])
def test_layouts_and_types_that_are_understood(graph: Graph) -> None:
    """Real or quantised values, as the file has them or channels last, a batch or one image: the same map."""
    maps = np.random.default_rng(1).integers(-128, 128, (5, 2, 4, 3), dtype=np.int8)
    (own,) = from_maps(graph, {"a": maps})
    real = (maps - 3.0) * 0.5
    as_the_file = own if graph.inputs[0].real else (own - 3.0) * 0.5
    quantised = np.rint(as_the_file / 0.5 + 3).astype(np.int8)
    for x in (own, own[:, 0], as_the_file, as_the_file[:, 0], quantised[:, 0], real, maps):
        assert np.array_equal(quantize_input(graph, x), maps)
        assert np.array_equal(quantize_input(graph, x[2]), maps[2:3])


def test_the_remedy_for_another_layout_is_what_to_write() -> None:
    with pytest.raises(HwgenError, match=r"\(2, 4, 3\).*x\.transpose\(0, 2, 3, 1\)".replace(".*", "(.|\n)*")):
        quantize_input(CASES[1], np.zeros((5, 3, 2, 4), np.float32))
    for graph, shape, remedy in (
        (CASES[1], (3, 2, 4), "x.transpose(1, 2, 0)"), (CASES[1], (5, 4, 2, 3), "x.transpose(0, 2, 1, 3)"),
        (CASES[1], (5, 24), "x.reshape(-1, 2, 4, 3)"), (CASES[0], (5, 24), "x.reshape(-1, 3, 2, 4)"),
        (CASES[0], (5, 4, 2, 3), "x.transpose(0, 3, 2, 1)"), (CASES[0], (5, 3, 4, 2), "x.transpose(0, 1, 3, 2)"),
        (CASES[1], (5, 7, 4, 3), "np.transpose or np.reshape"),
    ):
        with pytest.raises(HwgenError) as error:
            quantize_input(graph, np.zeros(shape, np.float32))
        assert remedy in str(error.value), shape


@pytest.mark.parametrize("graph", CASES, ids=["nchw", "nhwc", "nhwc turned by the network", "int8"])
def test_random_inputs_have_every_integer_ties_and_what_lies_between(graph: Graph) -> None:
    (given,) = random_inputs(graph, 400, 1)
    assert given.dtype == graph.inputs[0].type and given.shape == (400, *graph.inputs[0].shape)
    assert len(np.unique(to_maps(graph, [given])["a"])) == 256
    if graph.inputs[0].real:
        steps = given.astype(np.float64) / 0.5
        assert 0.1 < (np.abs(steps - np.floor(steps) - 0.5) < 1e-9).mean() < 0.15
        assert (steps + 3 > 127.1).any()


def test_no_array_gives_a_traceback(tmp_path: Path) -> None:
    """Any shape, type and values: inputs of the file's shapes and types, or one message."""
    seed = random.randrange(1 << 32)
    rng = np.random.default_rng(seed)
    kinds = ("f2", "f4", "f8", "i1", "u1", "i2", "i8", "?", "c8", "S2", "U2", "M8[s]", ">f4", "f4,i4", "g")
    taken = 0
    for _ in range(800):
        shape = tuple(int(n) for n in rng.choice([0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 24], rng.integers(0, 7)))
        if rng.random() < 0.5:
            shape = tuple(int(n) for n in rng.permutation([2, 4, 3])) + (() if rng.random() < 0.5 else (1,))
            shape = shape if rng.random() < 0.5 else (int(rng.integers(0, 4)), *shape)
        if np.prod(shape, dtype=float) > 1e5:
            continue
        x = np.asarray(rng.normal(0, 40, shape)).astype(np.int64).astype(str(rng.choice(kinds)))
        if x.dtype.kind == "f" and x.size and rng.random() < 0.2:
            x.reshape(-1)[0] = rng.choice([np.nan, np.inf, -np.inf, 6e4])
        graph = CASES[rng.integers(len(CASES))]
        try:
            (value,) = read_inputs(graph, write(tmp_path, x=x)).values
        except HwgenError:
            continue
        except Exception as error:
            raise AssertionError(f"seed {seed}: {x.dtype} {shape}") from error
        taken += 1
        assert value.dtype == graph.inputs[0].type and value.shape[1:] == graph.inputs[0].shape, seed
    assert taken > 5
