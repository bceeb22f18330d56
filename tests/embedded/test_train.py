"""The training script: one epoch runs, gives the same files twice, and the images that the package ships."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwgen.embedded import DATA, TRAIN

pytest.importorskip("torch", reason="PyTorch is not installed (hwgen[train])")
pytest.importorskip("sklearn", reason="scikit-learn is not installed (hwgen[train])")


def test_same_files_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from hwgen.embedded.train import main

    for folder in ("first", "second"):
        main(["--epochs", "1", "--output", str(tmp_path / folder)])
    for name in ("digits_float.onnx", "digits.onnx", "digits_train.npz", "digits_test.npz"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    for path in (DATA, TRAIN):
        assert (tmp_path / "first" / path.name).read_bytes() == path.read_bytes()
    assert "quantize: " in capsys.readouterr().out
