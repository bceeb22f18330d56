"""ONNX files that people have: each is equal to ONNX Runtime on it, or refused with what is in the way."""

from __future__ import annotations

import pytest

from tests.model.real_files import judge, judge_list
from tests.shared_data import shared_file

pytest.importorskip("onnxruntime")

_FLOAT = "or quantise all of it: hwgen compress "

CASES: dict[str, tuple[str, ...]] = {
    "avgpool_pad_rescale": (), "brev_w4a4": (), "brevitas_qcdq_dynamo_weight_q_clip_dq": (),
    "brevitas_qcdq_w4a4_clip_between_q_and_dq": (), "brevitas_qonnx_quant_nodes": (), "dq_without_zp": (),
    "flat_out": (), "globalmax28": (), "nm_close": (), "onnx_input_ties_round_half_even": (),
    "onnx_name_not_utf8": (), "ort_static_QInt4": (), "output_dtype_int8": (), "pad_int8_default_zp-128": (),
    "pad_int8_zpvalue_zp10": (), "po2_ties": (), "qcdq_clip_int8": (), "qcdq_clip_out": (), "softmax_opset11_1": (),
    "squeeze3_squeeze2_refused": (), "swap_hw_square": (), "uint8_weights_run_ok_verify_refused": (),
    "batchnorm_left_after_quant_pre_process": (), "conv_relu_maxpool_q": (),
    "shape_nodes_after_quant_pre_process_dynamic_batch": (),
    "prenorm_sub_div_constant_float": ("it is not quantised", "hwgen compress prenorm_sub_div_constant_float.onnx"),
    "add_unquantised_conv": ("Add 'n_t10': reads the result of Conv 'n_t9', which is not quantised", _FLOAT),
    "f_avg": ("it is not quantised", "hwgen compress f_avg.onnx --recipe int8"),
    "global_mean_last_not_quantised_by_ort": ("ReduceMean '/ReduceMean': the output is not quantised", _FLOAT),
    "nncf_last_layer_not_quantised_resnet": ("Gemm '/l/Gemm': the output is not quantised", _FLOAT),
    "onnx_diffops": ("Conv 'conv0'", "do not fit 32 bits"),
    "onnx_dim_2pow40": ("input 'x': its shape (1, 4, 8, 1099511627776) has more than 2^28 values",),
    "pt2e_x86_conv_add_not_quantised_resnet": (
        "Add 'node_add': reads the result of Conv 'node_conv2d_2', which is not quantised", _FLOAT),
    "sigmoid_at_end_wrong_remedy": ("Sigmoid '/Sigmoid': not supported -> end the network before it and apply it",),
    "squeeze_excite_mul_wrong_remedy": ("Sigmoid (3 layers)", "Mul (3 layers)", "the machine multiplies no two maps"),
    "tao_21": ("AveragePool 'node_avg_pool2d': reads the result of Clip 'node_relu6', which is not quantised", _FLOAT),
    "unet_resize_inner_wrong_remedy": ("Resize '/u/u.0/Resize': not supported -> the machine cannot enlarge maps",),
}
"""What its message says; nothing: it runs."""

NETWORKS: dict[str, tuple[str, ...]] = {
    "mobilenet_v3_small": ("HardSigmoid (28 layers)", "Mul (28 layers)"), "shufflenet_v2_x0_5": ()}
"""What the machine lacks, each once; nothing: it runs."""


@pytest.mark.parametrize("name", CASES)
def test_cases(name: str) -> None:
    judge(shared_file("cases", f"{name}.onnx"), CASES[name], ties=True)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name: str) -> None:
    judge_list(shared_file("networks", f"{name}.onnx"), NETWORKS[name], ties=True)


def test_every_file_has_its_row() -> None:
    assert {path.stem for path in shared_file("cases", "README.md").parent.glob("*.onnx")} == set(CASES)
