"""The golden model against the runtimes that run the user's own file, operator by operator and end to end.

Every operator is given the reference's own values of its inputs, so differences do not add up, and the reader's view
of each map (name, type, order of axes) is part of what is compared. TFLite: equal. ONNX: equal, or one step apart
where the reference's own real value lies next to the tie between the two, since ONNX Runtime computes in float32
between maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import HwgenError
from hwgen.golden.graph import run
from hwgen.golden.host import file_outputs, quantize
from hwgen.golden.inputs import to_maps
from hwgen.golden.operators import execute
from hwgen.model.graph import Conv, Graph, Op, Tensor
from hwgen.model.ports import Port
from hwgen.model.tflite_file import DEALT
from hwgen.reference.asked import Asked
from hwgen.reference.runtime import LITERT, RUNTIMES, TFLITE_MICRO, Answers, Key, RefusalError, Runtime
from hwgen.verify.comparison import Comparison

NEXT_TO_A_TIE = 1 / 64
"""How far from a tie, in steps of the output, float32 arithmetic may decide otherwise."""

FLOAT_ULPS = 1e-6
"""What real outputs may differ by, relative to the largest: the host's float functions are not the runtime's."""

SELECTIONS = ("Slice", "Gather", "Transpose")
"""Operators that are convolutions of zeros and ones."""

SOFTMAX = ("softmax", "log_softmax")

Array = NDArray[Any]
Maps = dict[str, NDArray[np.int8]]


class References:
    """The runtimes of a network's format, asked in processes of their own from the beginning: a context manager.

    Parameters
    ----------
    path : Path
        The file ``graph`` was read from.
    graph : Graph
    given : sequence of array, shape (N, *shape of the input in the file)
        The file's inputs, see `hwgen.golden.inputs.file_inputs`.
    """

    def __init__(self, path: Path, graph: Graph, given: Sequence[Array]) -> None:
        self.path, self.graph, self.given = path, graph, given
        self._asked = [Asked(runtime) for runtime in RUNTIMES.get(graph.source, ()) if runtime.installed is not None]
        self._thread = ThreadPoolExecutor(1)
        self._answers = self._thread.submit(self._gather)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        """End what has not answered."""
        for asked in self._asked:
            asked.stop()
        self._thread.shutdown()

    def check(self) -> None:
        """Raise what `compare` would, if that is known already."""
        if self._answers.done():
            self._answers.result()

    def compare(self) -> Comparison | None:
        """Compare the golden model with what runs the file; None when no runtime of the format is installed.

        Raises
        ------
        HwgenError
            When no runtime runs the file.
        """
        answers = self._answers.result()
        return compare(self.graph, self.given, answers) if answers else None

    def _gather(self) -> list[tuple[Runtime, Answers]]:
        """Ask until there is a reference for every operator."""
        answers: list[tuple[Runtime, Answers]] = []
        refusals = []
        for asked in self._asked:
            if answers and all(_trusted(answers[0][0], op, self.graph) for op in self.graph.ops):
                break
            try:
                answers.append((asked.runtime, asked.answers(self.path, self.given, keys(self.graph))))
            except RefusalError as error:
                refusals.append(f"{asked.runtime.name} {asked.runtime.installed}: {error}")
        if refusals and not answers:
            raise HwgenError("no reference runs this file: " + "; ".join(refusals), where=str(self.path),
                             remedy=_remedy(self.graph))
        return answers


def _remedy(graph: Graph) -> str | None:
    missing = [runtime for runtime in RUNTIMES.get(graph.source, ()) if runtime.installed is None]
    return f"pip install {' '.join(runtime.package for runtime in missing)}" if missing else None


def keys(graph: Graph) -> list[Key]:
    """The tensors of the file that are compared, and the real ones that they were quantised from."""
    views = [tensor.view for tensor in graph.tensors.values() if tensor.view is not None]
    return list(dict.fromkeys(key for view in views for key in (view.key, view.real) if key != ""))


def _trusted(runtime: Runtime, op: Op, graph: Graph) -> bool:
    """Whether a runtime is a reference for an operator (docs/verification.md, "Where references disagree")."""
    if runtime is TFLITE_MICRO and op.source == "RELU6":
        first, last = (graph.tensors[name] for name in (op.inputs[0], op.output))
        return (first.scale, first.zero_point) == (last.scale, last.zero_point)
    if runtime is TFLITE_MICRO and op.source.endswith(f"({DEALT})"):  # it takes the stored batch of 1 for the real one
        return False
    if op.source == "FULLY_CONNECTED" and isinstance(op, Conv):
        return runtime is (LITERT if op.requant.rounding == "single" else TFLITE_MICRO)
    return True


def compare(graph: Graph, given: Sequence[Array], answers: Sequence[tuple[Runtime, Answers]]) -> Comparison:
    """Compare with what the runtimes answered; of each operator, with the first that is a reference for it.

    Parameters
    ----------
    graph : Graph
    given : sequence of array, shape (N, *shape of the input in the file)
    answers : sequence of (Runtime, Answers)
        To ``given``, one at least.
    """
    found = Comparison(" and ".join(runtime.name for runtime, _ in answers))
    entries: Maps = dict(to_maps(graph, given))
    judge = {op: next((i for i, (r, _) in enumerate(answers) if _trusted(r, op, graph)), None) for op in graph.ops}
    for i, (runtime, answer) in enumerate(answers):
        theirs = _maps(graph, answer)
        own = entries | theirs
        for name in entries.keys() & theirs.keys() if i == 0 else ():
            _judge(found, graph, None, name, entries[name], theirs[name], answer)
        for op in graph.ops:
            y = execute(op, [own[name] for name in op.inputs], graph.tensors)
            own.setdefault(op.output, y)
            if judge[op] == i and op.output in theirs:
                _judge(found, graph, op, op.output, y, theirs[op.output], answer, _bias_rounding(op, graph, theirs))
        if found.end_to_end is None and all(_trusted(runtime, op, graph) for op in graph.ops):
            _end_to_end(found, graph, entries, own, theirs, answer)
    found.left_out += [f"{op.source} {op.name!r} (no reference is right, see docs/verification.md)"
                       for op, i in judge.items() if i is None]
    for tensor in graph.tensors.values():
        seen = tensor.view
        if seen is not None and not any({seen.key, seen.real} & answer.tensors.keys() for _, answer in answers):
            found.left_out.append(f"map {tensor.name!r} (the file has no tensor {seen.key!r})")
    if found.end_to_end is None:
        found.left_out.append("the outputs end to end (no one runtime is a reference for every operator)")
    return found


def _maps(graph: Graph, answers: Answers) -> Maps:
    """The reference's values of every map that the file has; or its own real values quantised, where the file has no
    quantiser at that place."""
    maps = {}
    for name, tensor in graph.tensors.items():
        view = tensor.view
        if view is None:
            continue
        if view.key not in answers.tensors and view.real in answers.tensors:
            real = view.of_real(answers.tensors[view.real], tensor.shape)
            maps[name] = quantize(real, {"scale": tensor.scale, "zero_point": tensor.zero_point,
                                         "limits": view.limits}, graph.source)
        elif view.key in answers.tensors:
            values = answers.tensors[view.key]
            if values[0].size != int(np.prod(tensor.shape)):
                raise HwgenError(f"the reference's tensor {view.key!r} is {values.shape[1:]}, the map "
                                 f"{tensor.shape}", where=f"{graph.name}: {name}")
            maps[name] = view.from_file(values, tensor.shape)
    return maps


def _judge(found: Comparison, graph: Graph, op: Op | None, name: str, ours: NDArray[np.int8],
           theirs: NDArray[np.int8], answers: Answers, rounding: NDArray[np.float64] | float = 0.0) -> None:
    """Judge a map; ``rounding`` is what `_bias_rounding` says."""
    found.maps += 1
    found.values += ours.size
    different = ours != theirs
    if not different.any():
        return
    found.different += int(np.count_nonzero(different))
    what = "the input" if op is None else f"{op.source or type(op).__name__} {op.name!r}"
    if op is not None and graph.source == "onnx":
        different &= ~_next_to_a_tie(graph.tensors[name], ours, theirs, answers, rounding)
    found.wrong_values(f"{what}, (y, x, c)", different, ours, theirs)


def _next_to_a_tie(tensor: Tensor, ours: NDArray[np.int8], theirs: NDArray[np.int8], answers: Answers,
                   rounding: NDArray[np.float64] | float) -> NDArray[np.bool_]:
    """Where values are a step apart and the reference's own real value is next to the tie between the two."""
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    near: NDArray[np.bool_] = np.abs(a - b) <= 1
    view = tensor.view
    if view is None or view.real not in answers.tensors:
        return near
    real = view.of_real(answers.tensors[view.real], tensor.shape)
    exact = real.astype(np.float64) / tensor.scale + tensor.zero_point
    near &= np.abs(exact - (a + b) / 2) <= NEXT_TO_A_TIE + rounding
    return near


def _bias_rounding(op: Op, graph: Graph, theirs: Maps) -> NDArray[np.float64] | float:
    """What rounding a real bias to the accumulator's scale may move a result by, in output steps, of each channel; of
    an operator that picks values, in front of which the file has no tensor, by what it moves those."""
    if not isinstance(op, Conv) or op.source in SELECTIONS:
        unseen = [other for other in graph.ops if other.output in op.inputs and other.output not in theirs]
        return max((float(np.max(_bias_rounding(other, graph, theirs))) for other in unseen), default=0.0)
    return np.asarray(op.requant.multiplier * np.exp2(op.requant.shift.astype(np.float64) - 32), np.float64)


def _end_to_end(found: Comparison, graph: Graph, entries: Maps, own: Maps, theirs: Maps, answer: Answers) -> None:
    """The outputs in the file's own layout, type and order: the host's steps on the reference's maps, and the whole
    network on the inputs."""
    at_the_end = all(name in theirs for name in graph.output_maps)
    _outputs(found, graph, file_outputs(graph, own), answer.outputs, "the host's steps", at_the_end)
    ours = file_outputs(graph, run(graph, entries).tensors)
    found.end_to_end = _distance(ours, answer.outputs)
    if graph.source == "tflite":
        _outputs(found, graph, ours, answer.outputs, "the whole network", True)
    elif not at_the_end:
        found.left_out.append("the host's steps (the file has no tensor of a map that they begin with)")


def _outputs(found: Comparison, graph: Graph, ours: Sequence[Array], theirs: Sequence[Array], what: str,
             exact: bool) -> None:
    """Judge outputs: number, shapes and types, and values if they have to be the reference's."""
    if len(ours) != len(theirs):
        found.fail(f"{what}: {len(ours)} outputs, not {len(theirs)}")
        return
    for port, a, b in zip(graph.outputs, ours, theirs, strict=True):
        if a.shape != b.shape or a.dtype != b.dtype:
            found.fail(f"{what}, output {port.name!r}: {a.dtype} {a.shape[1:]}, not {b.dtype} {b.shape[1:]}")
        elif exact:
            wrong = ~(_apart(a, b) <= _tolerance(graph, port, b))
            found.wrong_values(f"{what}, output {port.name!r}, place", wrong, a, b)


def _apart(a: Array, b: Array) -> NDArray[np.float64]:
    """Distances; 0 of values that are the same infinity."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(invalid="ignore"):
        distance: NDArray[np.float64] = np.where(x == y, 0.0, np.abs(x - y))
    return distance


def _tolerance(graph: Graph, port: Port, expected: Array) -> float:
    """What the host may be apart where it computes a softmax, whose exponentials are not the runtime's."""
    if expected.dtype.kind == "f":
        return _rounding(expected)
    return float(graph.source == "onnx" and any(step.kind in SOFTMAX for step in port.steps))


def _rounding(expected: Array) -> float:
    return FLOAT_ULPS * float(np.abs(expected.astype(np.float64)).max(initial=0)) if expected.dtype.kind == "f" else 0.0


def _distance(ours: Sequence[Array], theirs: Sequence[Array]) -> dict[str, Any]:
    """How many values of the outputs are apart by more than rounding of float32, and how far at most."""
    values = different = 0
    largest = 0.0
    for a, b in zip(ours, theirs, strict=False):
        values += b.size
        if a.shape == b.shape:
            distance = _apart(a, b)
            different += int(np.count_nonzero(~(distance <= _rounding(b))))
            largest = max(largest, float(distance.max(initial=0)))
    return {"values": values, "different": different, "largest": largest}
