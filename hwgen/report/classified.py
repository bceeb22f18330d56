"""Pictures that a network classified, as the page shows them."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from matplotlib.image import imsave
from numpy.typing import NDArray


@dataclass(frozen=True)
class Classified:
    """A picture (a data URI), the class that the hardware read, and the true one."""

    source: str
    read: int
    label: int


def classified(images: NDArray[np.float32], read: NDArray[np.integer], labels: NDArray[np.integer]) -> list[Classified]:
    """Return grey pictures with their classes.

    Parameters
    ----------
    images : float32 array, shape (N, height, width, 1)
        Dark where large.
    read, labels : integer arrays, shape (N,)
    """
    return [Classified(_uri(x[..., 0]), int(a), int(b)) for x, a, b in zip(images, read, labels, strict=True)]


def _uri(image: NDArray[np.float32]) -> str:
    content = io.BytesIO()
    imsave(content, image, cmap="gray_r", format="png")
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()
