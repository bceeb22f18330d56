"""Files that people have: each is equal to its own runtime, or refused with what is in the way."""

from __future__ import annotations

import pytest

from tests.model.real_files import judge, judge_list
from tests.shared_data import shared_file

pytest.importorskip("tflite_micro")

CASES = {
    "aeq10_f32io": "", "aeq10_relu6_i8io": "", "audio_1x80": "", "conv4_pc": "", "conv_offset_buffers": "",
    "dead_channel_scale0": "", "dilated.int8io": "",
    "keras3_conv_flatten_dense_dynbatch_int8": "", "keras_cnn_float_io_verify_crashes": "",
    "maxg.int8io": "", "relu6_0.0235": "", "relu6_scale": "", "tfl_reshape_zp_ignored": "",
    "fc_int2": "FULLY_CONNECTED 't3': its weights are int2, not int8 or int4",
    "fc_sparse": "FULLY_CONNECTED 't3': its weights are stored sparse",
    "keras_convtranspose_batch1_int8": "TRANSPOSE_CONV 'StatefulPartitionedCall_1:0': unsupported operator",
    "newop": "operator 210 't1': unsupported operator",
    "subtract.int8io": "SUB 'functional_15_1/subtract_1/Sub': subtracts two maps",
    "tfl_options_type": "CONV_2D 't1': its options are missing or those of another operator",
    "tfl_softmax_or_fc_opt": "do not fit 64 input channels and the depth multiplier 255",
}  # fmt: skip
"""What its message says; empty: it runs."""

NETWORKS = {
    "keras_kws_cnn": (), "keras_tcn_dil": (), "lenet300": (), "mcunet_vww": (), "mobilenet_v1_0.25_128_quant": (),
    "tm_mbnet96_0.25_q": (),
    "coral_yamnet": ("LOGISTIC", "SPLIT"),
    "face_detection_short_range": ("the network computes in float32",),
    "keras_se_net": ("LOGISTIC", "MUL"),
    "keras_unet": ("LOGISTIC", "TILE"),
    "keras_yolo_tiny": ("LEAKY_RELU", "TILE"),
    "keyword_scrambled_8bit": ("SVDF",),
    "mww1_okay_nabu": ("ASSIGN_VARIABLE", "CALL_ONCE", "LOGISTIC", "READ_VARIABLE", "STRIDED_SLICE",
                       "VAR_HANDLE"),
    "mww2_okay_nabu": ("ASSIGN_VARIABLE", "CALL_ONCE", "LOGISTIC", "READ_VARIABLE", "SPLIT_V", "STRIDED_SLICE",
                       "VAR_HANDLE"),
    "seanet_conv11": ("the network computes in int16",),
    "seanet_transpose_conv1": ("TRANSPOSE_CONV",),
}  # fmt: skip
"""What the machine lacks, each once."""


@pytest.mark.parametrize("name", CASES)
def test_cases(name: str) -> None:
    judge(shared_file("cases", f"{name}.tflite"), [CASES[name]] if CASES[name] else [])


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name: str) -> None:
    judge_list(shared_file("networks", f"{name}.tflite"), NETWORKS[name])


def test_every_file_has_its_row() -> None:
    for folder, rows in (("cases", CASES), ("networks", NETWORKS)):
        assert {path.stem for path in shared_file(folder, "README.md").parent.glob("*.tflite")} == set(rows)
