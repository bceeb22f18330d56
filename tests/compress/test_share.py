"""Codebooks in a network: planted values, exact bytes, and the recipe of Deep Compression."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from hwgen.compress.coding import decode, encode_huffman
from hwgen.compress.count import count, layer_bytes, stored_integers
from hwgen.compress.execute import run_float
from hwgen.compress.kmeans import kmeans, nearest
from hwgen.compress.pipeline import compress
from hwgen.compress.recipe import make_recipe
from hwgen.compress.techniques.huffman import Huffman
from hwgen.compress.techniques.prune import Prune
from hwgen.compress.techniques.quantize import Quantize
from hwgen.compress.techniques.share import Share
from hwgen.errors import HwgenError
from tests.compress.networks import RELU, conv, dense, graph, images, residual


def test_planted_centres_are_found() -> None:
    rng = np.random.default_rng(1)
    centres = np.array([-0.9, -0.35, 0.1, 0.2, 0.75])
    values = (np.repeat(centres, 200) + rng.normal(0, 0.005, 1000)).astype(np.float32)
    found = kmeans(rng.permutation(values), 5)
    assert np.allclose(found, values.reshape(5, 200).mean(axis=1), atol=1e-6)


def test_no_partition_of_a_small_set_is_better() -> None:
    values = np.array([-3.0, -2.9, -0.2, 0.1, 0.3, 2.0, 2.2, 2.3, 5.0])

    def error(parts: list[np.ndarray]) -> float:
        return float(sum(((p - p.mean()) ** 2).sum() for p in parts))

    best = min(error(np.split(values, cut)) for cut in combinations(range(1, 9), 3))
    assert np.sum((values - nearest(values, kmeans(values, 4))) ** 2) == pytest.approx(best, rel=1e-5)


@pytest.mark.parametrize("entries", [2, 16, 256])
def test_each_centroid_is_the_mean_of_its_values(entries: int) -> None:
    values = np.random.default_rng(2).standard_t(2, 5000)
    found = kmeans(values, entries)
    assert len(found) == entries
    served = nearest(values, found)
    assert all(abs(values[served == c].mean() - c) < 1e-4 * max(abs(c), 1) for c in found)


def test_few_different_values_stay() -> None:
    assert kmeans(np.array([1.0, 2.0, 1.0]), 16).tolist() == [1, 2] and not len(kmeans(np.zeros(0), 4))


def test_bytes_of_a_shared_layer() -> None:
    net = residual()
    shared = Share(entries=4, layers=("dense",))(net, images(net))
    layer = shared.conv("dense")
    assert len(np.unique(layer.weight)) == 4
    assert layer_bytes(layer) == 5 + 4 * 4 + 160 * 2 // 8 + 5 * 4  # head, float values, indices of 2 bits, biases
    quantized = Quantize()(shared, images(net))
    layer = quantized.conv("dense")
    assert layer.quantizer is not None and layer.quantizer.scale.size == 1
    assert len(np.unique(stored_integers(layer))) == 4
    assert layer_bytes(layer) == 5 + 4 + 160 * 2 // 8 + 5 * 4 + 4  # values are bytes now; one scale
    assert count(quantized).bytes == count(Quantize()(net, images(net))).bytes - 160 - 5 * 4 + 5 + 4 + 40 + 4


def test_pruned_weights_are_no_part_of_the_codebook() -> None:
    net = residual()
    data = images(net)
    pruned = Prune(sparsity=0.6)(net, data)
    shared = Share(entries=8, layer_entries={"dense": 2})(pruned, data)
    for before, after in zip(pruned.convs, shared.convs, strict=True):
        assert np.array_equal(before.weight == 0, after.weight == 0)
        assert len(np.unique(after.weight[after.weight != 0])) == (2 if after.name == "dense" else 8)


def test_stored_integers_are_exact_for_every_scheme() -> None:
    net = residual()
    data = images(net)
    for step in (Quantize(), Quantize(weights="affine", bits=7), Quantize(granularity="group", group=1, bits=16)):
        for op in step(net, data).convs:
            assert op.quantizer is not None
            values = stored_integers(op)
            if not op.quantizer.group:
                assert np.array_equal(values, op.quantizer.quantize(op.weight) - op.quantizer.zero_point)
            assert np.array_equal(decode(encode_huffman(values), values.size), values.reshape(-1))
    weight = net.conv("dense").weight
    bits = stored_integers(net.conv("dense")).astype(np.int32).view(np.float32)
    assert np.array_equal(bits, weight)


def test_deep_compression_end_to_end() -> None:
    """Each step's bytes are fewer; Huffman changes no result, and its bytes are those of the strings."""
    rng = np.random.default_rng(8)
    net = graph([conv(rng, "conv", "x", 3, 8, **RELU), dense(rng, "dense", "conv_out", (8, 8, 8), 30)],
                {"x": (8, 8, 3), "conv_out": (8, 8, 8), "dense_out": (1, 1, 30)})
    data = images(net)
    recipe = make_recipe("deep", [{"name": "prune", "sparsity": 0.8}, {"name": "share", "entries": 8},
                                  {"name": "quantize"}, {"name": "huffman"}])
    assert recipe.family == "joint"
    done = compress(net, recipe, data, data)
    sizes = [row.counts.bytes for row in done.rows]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 5
    assert done.rows[3].accuracy == done.rows[4].accuracy
    total = 3 * 5  # the maps' scales and zero points
    for op in done.graph.convs:
        content = encode_huffman(stored_integers(op))
        assert np.array_equal(decode(content, op.weight.size), stored_integers(op).reshape(-1))
        assert op.quantizer is not None
        plain = layer_bytes(replace(op, storage="plain"))
        total += min(len(content) + op.bias.size * 4 + op.quantizer.scale.size * 4,
                     layer_bytes(replace(op, storage="codebook")), plain)
    assert total == sizes[4]


def test_huffman_leaves_what_it_would_lengthen() -> None:
    net = residual()
    data = images(net)
    quantized = Quantize()(net, data)
    plan = Huffman().fit(quantized, data)
    assert len(plan.layers) + len(plan.notes) == 4 and "pointwise: " in "".join(plan.notes)
    done = Huffman().apply(quantized, plan)
    assert np.array_equal(run_float(done, data.x), run_float(quantized, data.x))


def test_refused() -> None:
    net = residual()
    with pytest.raises(HwgenError, match=r"entries must be in 2\.\.256, not 257"):
        Share(entries=257)
    with pytest.raises(HwgenError, match="layer_entries names a layer that is not to be treated") as found:
        Share(layer_entries={"dense": 4}, exclude=("dense",)).fit(net, images(net))
    assert found.value.where == "dense"
    with pytest.raises(HwgenError, match="must stand after quantize"):
        make_recipe("r", [{"name": "huffman"}, {"name": "quantize"}])
