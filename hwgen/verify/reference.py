"""The golden model against the runtimes that run the user's own file, operator by operator and end to end.

Every operator is given the reference's own values of its inputs, so differences do not add up, and the reader's view
of each map (name, type, order of axes) is part of what is compared. TFLite: equal. ONNX: equal, or one step apart
where the reference's own real value lies next to the tie between the two, since ONNX Runtime computes in float32
between maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import HwgenError
from hwgen.golden.graph import run
from hwgen.golden.host import file_outputs
from hwgen.golden.inputs import to_maps
from hwgen.golden.operators import execute
from hwgen.model.graph import Conv, Graph, Op, Requant, Tensor
from hwgen.reference.asked import Asked
from hwgen.reference.runtime import LITERT, RUNTIMES, TFLITE_MICRO, Answers, Key, RefusalError, Runtime

NEXT_TO_A_TIE = 1 / 64
"""How far from a tie, in steps of the output, float32 arithmetic may decide otherwise."""

FLOAT_ULPS = 1e-6
"""What real outputs may differ by, relative to the largest: the host's float functions are not the runtime's."""

EXAMPLES = 10
"""Differences that are reported in full."""

Array = NDArray[Any]


@dataclass
class Comparison:
    """What was compared, and how it came out; `to_json` is the documented interface."""

    name: str
    values: int = 0
    different: int = 0
    """Values that are not equal."""
    wrong: int = 0
    """Of these, those that the format's rule does not allow."""
    maps: int = 0
    examples: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """Operators and outputs that no reference was asked about, each with the reason."""
    end_to_end: dict[str, Any] | None = None

    @property
    def equal(self) -> bool:
        """Nothing is wrong."""
        return not self.wrong

    @property
    def summary(self) -> str:
        """One line."""
        if self.wrong:
            text = f"{self.wrong} of {self.values:,} values of {self.maps} maps differ: {self.examples[0]}"
        elif self.different:
            text = f"{self.values:,} values of {self.maps} maps, {self.different} on the other side of a tie"
        else:
            text = f"{self.values:,} values of {self.maps} maps, all equal"
        end = self.end_to_end
        if end is not None:
            text += f"; {end['values']:,} values of the outputs, end to end, "
            text += f"{end['different']} differ, by at most {end['largest']:.4g}" if end["different"] else "all equal"
        return text + "".join(f"; not compared: {what}" for what in self.left_out)

    def to_json(self) -> dict[str, Any]:
        """Return the documented keys (docs/interfaces.md)."""
        return {"name": self.name, "equal": self.equal, "values": self.values, "different": self.different,
                "tensors": self.maps, "summary": self.summary, "examples": self.examples[:EXAMPLES],
                "left_out": self.left_out, "end_to_end": self.end_to_end}


class References:
    """The runtimes of a network's format, each in a process that is started at once: a context manager.

    Parameters
    ----------
    graph : Graph
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._asked = [Asked(runtime) for runtime in RUNTIMES.get(graph.source, ()) if runtime.installed is not None]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        """End what was not asked."""
        for asked in self._asked:
            asked.stop()

    def compare(self, path: Path, given: Sequence[Array]) -> Comparison | None:
        """Compare the golden model with what runs the file; None when no runtime of the format is installed.

        Parameters
        ----------
        path : Path
            The file ``graph`` was read from.
        given : sequence of array, shape (N, *shape of the input in the file)
            The file's inputs, see `hwgen.golden.inputs.file_inputs`.

        Raises
        ------
        HwgenError
            When no runtime runs the file, or one aborts.
        """
        if not self._asked:
            return None
        answers: list[tuple[Runtime, Answers]] = []
        refusals = []
        wanted = list(self.graph.ops)
        for asked in self._asked:
            if answers and all(_trusted(answers[0][0], op, self.graph) for op in wanted):
                break
            try:
                answers.append((asked.runtime, asked.answers(path, given, keys(self.graph))))
            except RefusalError as error:
                refusals.append(f"{asked.runtime.name} {asked.runtime.installed}: {error}")
        if not answers:
            raise HwgenError("no reference runs this file: " + "; ".join(refusals), where=str(path),
                             remedy=_remedy(self.graph))
        return compare(self.graph, given, answers)


def _remedy(graph: Graph) -> str | None:
    missing = [runtime for runtime in RUNTIMES.get(graph.source, ()) if runtime.installed is None]
    return f"pip install {' '.join(runtime.package for runtime in missing)}" if missing else None


def keys(graph: Graph) -> list[Key]:
    """The tensors of the file that are compared, and the real ones that they were quantised from."""
    views = [tensor.view for tensor in graph.tensors.values() if tensor.view is not None]
    return list(dict.fromkeys(key for view in views for key in (view.key, view.real) if key != ""))


def _trusted(runtime: Runtime, op: Op, graph: Graph) -> bool:
    """Whether a runtime is a reference for an operator (docs/verification.md, "Where references disagree")."""
    if runtime is TFLITE_MICRO and op.source in ("RELU6", "RELU"):
        first, last = (graph.tensors[name] for name in (op.inputs[0], op.output))
        return (first.scale, first.zero_point) == (last.scale, last.zero_point)
    return not (runtime is LITERT and op.source == "FULLY_CONNECTED")


def compare(graph: Graph, given: Sequence[Array], answers: Sequence[tuple[Runtime, Answers]]) -> Comparison:
    """Compare with what the runtimes answered; of each operator, with the first that is a reference for it."""
    found = Comparison(" and ".join(runtime.name for runtime, _ in answers))
    maps = [_maps(graph, answer) for _, answer in answers]
    for name, values in to_maps(graph, given).items():
        if name in maps[0]:
            _judge(found, graph, None, name, values, maps[0][name], answers[0][1])
    for i, (_, answer) in enumerate(answers):
        own = dict(to_maps(graph, given)) | maps[i]
        for op in graph.ops:
            y = execute(op, [own[name] for name in op.inputs], graph.tensors)
            if op.output not in own:
                own[op.output] = y
            elif i == next((j for j, (r, _) in enumerate(answers) if _trusted(r, op, graph)), None):
                _judge(found, graph, op, op.output, y, own[op.output], answer)
    for op in graph.ops:
        if not any(_trusted(runtime, op, graph) for runtime, _ in answers):
            found.left_out.append(f"{op.source} {op.name!r} (see docs/verification.md)")
    _end_to_end(found, graph, given, answers)
    return found


def _maps(graph: Graph, answers: Answers) -> dict[str, NDArray[np.int8]]:
    """The reference's values of every map that the file has."""
    maps = {}
    for name, tensor in graph.tensors.items():
        if tensor.view is not None and tensor.view.key in answers.tensors:
            values = answers.tensors[tensor.view.key]
            if values[0].size != int(np.prod(tensor.shape)):
                raise HwgenError(f"the reference's tensor {tensor.view.key!r} is {values.shape[1:]}, the map "
                                 f"{tensor.shape}", where=f"{graph.name}: {name}")
            maps[name] = tensor.view.from_file(values, tensor.shape)
    return maps


def _judge(found: Comparison, graph: Graph, op: Op | None, name: str, ours: NDArray[np.int8], theirs: NDArray[np.int8],
           answers: Answers) -> None:
    found.maps += 1
    found.values += ours.size
    different = ours != theirs
    count = int(np.count_nonzero(different))
    if not count:
        return
    found.different += count
    wrong = different & ~_allowed(graph, op, graph.tensors[name], ours, theirs, answers)
    found.wrong += int(np.count_nonzero(wrong))
    what = "the input" if op is None else f"{op.source or type(op).__name__} {op.name!r}"
    for n, y, x, c in np.argwhere(wrong)[: EXAMPLES - len(found.examples)]:
        found.examples.append(f"{what}, image {n}, (y, x, c) = ({y}, {x}, {c}): {ours[n, y, x, c]}, not "
                              f"{theirs[n, y, x, c]}")


def _allowed(graph: Graph, op: Op | None, tensor: Tensor, ours: NDArray[np.int8], theirs: NDArray[np.int8],
             answers: Answers) -> NDArray[np.bool_] | np.bool_:
    """Where a difference is within the format's rule."""
    view = tensor.view
    if graph.source != "onnx" or view is None:
        return np.bool_(False)
    a, b = ours.astype(np.int16), theirs.astype(np.int16)
    next_to = np.abs(a - b) <= 1
    if not view.real or view.real not in answers.tensors:
        return next_to
    real = view.of_real(answers.tensors[view.real], tensor.shape)
    exact = real.astype(np.float64) / tensor.scale + tensor.zero_point
    return next_to & (np.abs(exact - (a + b) / 2) <= NEXT_TO_A_TIE + _bias_step(op))


def _bias_step(op: Op | None) -> float:
    """What rounding a real bias to the accumulator's scale may move a result by, in output steps."""
    requant = getattr(op, "requant", None)
    if not isinstance(op, Conv) or not isinstance(requant, Requant):
        return 0.0
    return 0.5 * float((requant.multiplier * np.exp2(requant.shift.astype(np.float64) - 31)).max())


def _end_to_end(found: Comparison, graph: Graph, given: Sequence[Array],
                answers: Sequence[tuple[Runtime, Answers]]) -> None:
    """The outputs in the file's own layout, type and order: the host's steps on the reference's maps, and the whole
    network on the inputs."""
    for runtime, answer in answers:
        if not all(_trusted(runtime, op, graph) for op in graph.ops):
            continue
        maps = _maps(graph, answer)
        if all(name in maps for name in graph.output_maps):
            _outputs(found, graph, file_outputs(graph, maps), answer.outputs, "the host's steps")
        ours = file_outputs(graph, run(graph, to_maps(graph, given)).tensors)
        found.end_to_end = _distance(ours, answer.outputs)
        if graph.source == "tflite":
            _outputs(found, graph, ours, answer.outputs, "the whole network")
        return
    found.left_out.append("the outputs end to end (no one runtime is a reference for every operator)")


def _outputs(found: Comparison, graph: Graph, ours: Sequence[Array], theirs: Sequence[Array], what: str) -> None:
    if len(ours) != len(theirs):
        found.wrong += 1
        found.examples.append(f"{what}: {len(ours)} outputs, not {len(theirs)}")
        return
    for port, a, b in zip(graph.outputs, ours, theirs, strict=True):
        if a.shape != b.shape or a.dtype != b.dtype:
            found.wrong += 1
            found.examples.append(f"{what}, output {port.name!r}: {a.dtype} {a.shape[1:]}, not {b.dtype} {b.shape[1:]}")
            continue
        allowed = _tolerance(graph, b)
        wrong = ~(np.abs(a.astype(np.float64) - b.astype(np.float64)) <= allowed)
        found.wrong += int(np.count_nonzero(wrong))
        for at in np.argwhere(wrong)[: EXAMPLES - len(found.examples)]:
            place = tuple(int(i) for i in at)
            found.examples.append(f"{what}, output {port.name!r} {place[1:]} of image {place[0]}: {a[place]}, not "
                                  f"{b[place]}")


def _tolerance(graph: Graph, expected: Array) -> float:
    if expected.dtype.kind == "f":
        return FLOAT_ULPS * float(np.abs(expected.astype(np.float64)).max(initial=0))
    return 1.0 if graph.source == "onnx" else 0.0


def _distance(ours: Sequence[Array], theirs: Sequence[Array]) -> dict[str, Any]:
    """How many values of the outputs are apart by more than rounding of float32, and how far at most."""
    values = different = 0
    largest = 0.0
    for a, b in zip(ours, theirs, strict=False):
        values += b.size
        if a.shape == b.shape:
            distance = np.abs(a.astype(np.float64) - b.astype(np.float64))
            limit = FLOAT_ULPS * float(np.abs(b.astype(np.float64)).max(initial=0)) if b.dtype.kind == "f" else 0.0
            different += int(np.count_nonzero(~(distance <= limit)))
            largest = max(largest, float(distance.max(initial=0)))
    return {"values": values, "different": different, "largest": largest}


