"""Each rule on cases small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.schemes import Layer
from hwgen.schemes.cambricon_s import cambricon_s_cycles
from hwgen.schemes.cambricon_x import cambricon_x_cycles
from hwgen.schemes.cnvlutin import cnvlutin_cycles
from hwgen.schemes.dense import EYERISS, dense_cycles
from hwgen.schemes.eie import FIFO, eie_cycles, entries
from hwgen.schemes.lanes import ACTIVATION_ONLY, INNER_JOIN, WEIGHT_ONLY, last_done
from hwgen.schemes.n_of_m import kept, n_of_m_cycles
from hwgen.schemes.scnn import QUEUE, scnn_cycles
from hwgen.schemes.sparten import balanced, sparten_cycles
from tests.schemes.layers import dense, matrix


def inputs(positions: int, there: list[int]) -> np.ndarray:
    mask = np.zeros(positions, bool)
    mask[there] = True
    return mask.reshape(1, 1, -1)


def test_dense_spends_a_cycle_on_every_brick_of_every_four_filters() -> None:
    # 64 multipliers: 16 lanes, 4 filters. 33 positions: 3 bricks; 5 filters: 2 passes; 7 pixels.
    assert dense_cycles(dense(5, 33, 7), 64) == 3 * 2 * 7
    assert EYERISS.cycles(dense(5, 33, 7), 64) == -(-5 * 33 * 7 // 64)
    # Depthwise: a group after the other, 9 of 16 lanes, one of 4 filters.
    depthwise = Layer(np.ones((8, 3, 3, 1), bool), np.ones((3, 3, 8), bool), groups=8)
    assert dense_cycles(depthwise, 64) == 8


def test_n_of_m_looks_at_every_group_of_the_layer() -> None:
    pattern = np.tile([1, 0, 0, 1], 16)
    layer = Layer(np.tile(pattern, (4, 1)).reshape(4, 1, 1, 64) == 1, np.ones((1, 1, 64), bool))
    assert kept(layer) == 2 and n_of_m_cycles(layer, 64) == 2  # instead of 4 bricks
    layer.weights[3, 0, 0, 5] = True  # three of four
    spoilt = Layer(layer.weights, layer.inputs)
    assert kept(spoilt) == 4 and n_of_m_cycles(spoilt, 64) == 4
    quarter = Layer(np.tile(np.arange(64) % 4 == 0, (4, 1)).reshape(4, 1, 1, 64), layer.inputs)
    assert kept(quarter) == 1 and n_of_m_cycles(quarter, 64) == 1


def test_ideal_lanes_take_the_next_output_when_they_are_free() -> None:
    assert last_done(np.array([5, 1, 1, 1, 3]), 2) == 6  # 5 | 1 1 1 3
    layer = matrix([[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]], [1, 0, 1, 1])
    assert WEIGHT_ONLY.cycles(layer, 2) == 3  # 3 | 1, then 1 of an output without weights
    assert ACTIVATION_ONLY.cycles(layer, 2) == 6  # 3, 3, 3 on two lanes
    assert INNER_JOIN.cycles(layer, 2) == 2  # 2 | 1 1


def test_cnvlutin_waits_for_the_slowest_brick_of_a_window() -> None:
    # 16 bricks, one for each lane: 2 activations in the first, 3 in the last, none in the others (1 cycle).
    layer = Layer(np.ones((4, 1, 1, 256), bool), inputs(256, [0, 1, 253, 254, 255]))
    assert cnvlutin_cycles(layer, 64) == 3
    assert cnvlutin_cycles(Layer(np.ones((5, 1, 1, 256), bool), layer.inputs), 64) == 6  # a second pass
    # 17 bricks: the first lane has two.
    layer = Layer(np.ones((4, 1, 1, 272), bool), inputs(272, [0, 1, 256, 257, 258]))
    assert cnvlutin_cycles(layer, 64) == 5
    # One brick of 16 is 16 cycles on one lane; dense it is one, and the format is chosen by layer.
    assert cnvlutin_cycles(dense(4, 16), 64) == 1


def test_cambricon_x_waits_for_the_pe_with_most_weights() -> None:
    weights = np.zeros((4, 1, 1, 512), bool)
    weights[0, 0, 0, :17] = True  # 2 cycles in the first 256, 1 in the second
    weights[1, 0, 0, 250:300] = True  # 6 in the first: 1; 44: 3
    layer = Layer(weights, np.zeros((1, 3, 512), bool))
    assert cambricon_x_cycles(layer, 64) == 3 * 4  # three pixels, zero or not
    assert cambricon_x_cycles(layer, 16) == 3 * (3 + 4 + 2 + 2)  # one PE


def test_cambricon_s_keeps_what_any_of_16_filters_needs() -> None:
    weights = np.zeros((17, 1, 1, 64), bool)
    weights[3, 0, 0, 0:10] = True
    weights[9, 0, 0, 5:12] = True  # together 12
    weights[16, 0, 0, 60] = True  # in a group of its own
    layer = Layer(weights, inputs(64, list(range(2, 64))))  # 10 of the 12
    assert cambricon_s_cycles(layer, 64) == 3 + 1  # 4 positions a cycle


def test_eie_counts_padding_zeros() -> None:
    column = np.zeros((100, 1), bool)
    column[[0, 17, 99]] = True  # gaps of 0, 16 and 81 rows on one PE: 0, 1 and 5 padding zeros
    assert entries(column, 1).tolist() == [[3 + 6]]
    assert entries(column, 100).sum() == 3  # one row on each PE
    assert entries(column, 2).tolist() == [[1, 2 + 2]]  # PE 1: local rows 8, 49; 8 and 40 zeros in front


def test_eie_is_held_up_by_the_pe_with_most_weights() -> None:
    # Two PEs; column 0 has 3 entries on PE 0 and none on PE 1, column 1 one on each, column 2 is not broadcast.
    layer = matrix([[1, 1, 1], [0, 1, 1], [1, 0, 1], [0, 0, 1], [1, 0, 1]], [1, 1, 0])
    assert eie_cycles(layer, 2) == 4  # PE 0: 3 + 1


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (FIFO + 1, 8 + 20),  # the last one is sent in cycle 8, as the first left PE 0's FIFO in cycle 0
        (FIFO + 3, 21 + 20),  # PE 0 takes the second in cycle 20, the third in 21: then the last one is sent
    ],
)
def test_eie_stops_broadcasting_when_a_fifo_is_full(columns: int, expected: int) -> None:
    """PE 0 has 20 weights in the first column, PE 1 20 in the last one."""
    weights = np.zeros((40, columns), int)
    weights[0::2, 0] = weights[1::2, -1] = 1
    assert eie_cycles(matrix(weights.tolist(), [1] * columns), 2) == expected


def test_scnn_takes_pairs_of_vectors_and_wasted_products() -> None:
    # One PE (16 multipliers). One channel, 5 activations in a row: 2 vectors; 1x1, 6 filters: 2 vectors.
    layer = Layer(np.ones((6, 1, 1, 1), bool), np.ones((1, 5, 1), bool))
    assert scnn_cycles(layer, 16) == 4
    # 1x3 kernel without padding: 3 outputs, yet all 5 activations meet all 24 weights in 2 x 6 pairs.
    layer = Layer(np.ones((8, 1, 3, 1), bool), np.ones((1, 5, 1), bool))
    assert scnn_cycles(layer, 16) == 12


def test_scnn_waits_for_a_bank_that_all_products_want() -> None:
    # Filters 0, 32, 64, 96 of one pixel column: banks k mod 4 = 0 and (k / 4) mod 8 = 0 of pixel 0, that is all one.
    weights = np.zeros((128, 1, 1, 1), bool)
    weights[::32] = True
    layer = Layer(weights, np.ones((1, 1, 1), bool))
    assert scnn_cycles(layer, 16) == 4
    row = (np.arange(16) % 8 == 0).reshape(1, 16, 1)  # pixels 0 and 8: the same bank again
    assert scnn_cycles(Layer(weights, row), 16) == 8
    weights[97:109] = True  # three more pairs, to other banks: meanwhile the products of the first wait in FIFOs
    assert QUEUE == 4 and scnn_cycles(layer, 16) == 4


def test_scnn_waits_for_the_fullest_tile_and_splits_strides() -> None:
    # Two by two PEs of 16; 4x4 map, all activations in one corner.
    x = np.zeros((4, 4, 1), bool)
    x[:2, :2] = True
    layer = Layer(np.ones((4, 1, 1, 1), bool), x)
    assert scnn_cycles(layer, 64) == 1
    assert scnn_cycles(Layer(layer.weights, np.ones((4, 4, 1), bool)), 64) == 1
    # Stride 2, 1x1: only one of four phases has weights, a quarter of the activations meets them.
    strided = Layer(np.ones((4, 1, 1, 1), bool), np.ones((8, 8, 1), bool), stride=(2, 2))
    assert scnn_cycles(strided, 16) == 16 // 4


def test_sparten_pairs_the_densest_with_the_sparsest() -> None:
    assert balanced(np.array([1, 9, 5]), 4).tolist() == [[1, -1], [2, -1], [0, -1]]
    assert balanced(np.array([1, 9, 5, 2]), 2).tolist() == [[1, 0], [2, 3]]
    assert balanced(np.array([1, 9, 5]), 2).tolist() == [[1, 0], [2, -1]]


def test_sparten_waits_at_every_chunk_of_128() -> None:
    weights = np.zeros((2, 1, 1, 256), bool)
    weights[0, 0, 0, :10] = True  # 10 matches in the first chunk, none in the second
    weights[1, 0, 0, 128:135] = True  # the other way round: 7
    layer = Layer(weights, np.ones((1, 1, 256), bool))
    assert sparten_cycles(layer, 32) == 10 + 7
    assert sparten_cycles(Layer(np.zeros_like(weights), layer.inputs), 32) == 2  # a cycle a chunk
    # One unit for both filters: their matches add up.
    assert sparten_cycles(layer, 1) == 17
    # Two clusters share the pixels.
    three = Layer(weights, np.ones((1, 3, 256), bool))
    assert sparten_cycles(three, 64) == 2 * 17
