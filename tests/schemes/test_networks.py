"""The trained networks, a real input each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwgen.presets import preset
from hwgen.schemes.compare import compare
from tests.schemes.layers import MAY_LOSE
from tests.shared_data import INT8_NETWORKS, real_inputs, shared_file


@pytest.mark.nightly
@pytest.mark.parametrize("network", INT8_NETWORKS)
def test_every_trained_network_is_compared(network: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", x=real_inputs(network, 1))
    found = compare(shared_file("models", f"{network}.tflite"), preset("base-sparse"), inputs=tmp_path / "in.npz")
    for layer in found.layers:
        assert not layer.sampled and 0 < layer.effectual <= layer.macs
        for key, f in layer.schemes.items():
            assert f.bound <= f.cycles and (f.cycles <= f.full or key in MAY_LOSE), (layer.name, key)
    bound = found.total("inner_join").bound
    for machine in found.machines:
        assert sum(n.compute for n in found.machine(machine)) >= bound
