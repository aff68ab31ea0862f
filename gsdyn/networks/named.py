"""Networks by a short text, as a command line has them: `relu:3:512`."""

from __future__ import annotations

from typing import Any

from jaxtyping import ArrayLike

from gsdyn.kernels.infinite import InfiniteWidth
from gsdyn.networks import activations
from gsdyn.networks.fully_connected import FullyConnected
from gsdyn.networks.similarities import RBF, Linear
from gsdyn.networks.stax import Stax, stax

DENSE: dict[str, type[activations.Activation]] = {
    "relu": activations.Relu,
    "leaky-relu": activations.LeakyRelu,
    "abs": activations.Abs,
    "erf": activations.Erf,
    "gelu": activations.Gelu,
    "sin": activations.Sin,
    "cos": activations.Cos,
}
CONVOLUTIONAL = ("conv", "conv-pool")
KINDS = (*DENSE, *CONVOLUTIONAL, "linear", "rbf")


def takes_images(text: str) -> bool:
    """Whether the network of this text takes images, shape (n, h, w, c), and not rows.

    >>> print(gs.networks.takes_images("conv:2:64"), gs.networks.takes_images("relu:3"))
    True False
    """
    return text.partition(":")[0].strip() in CONVOLUTIONAL


def named(text: str, x: ArrayLike | None = None) -> InfiniteWidth:
    """The network that a text names.

    - `text`: one of

          relu:3          a fully connected ReLU network of 3 dense layers; `relu:3:1024` says how wide it is where it
                          is trained, `relu:3:1024:0.1` the scale of its biases; also leaky-relu, abs, erf, gelu, sin,
                          cos
          conv:2:64       2 convolutions of 3 x 3 pixels with 64 channels and ReLU, then a dense layer
          conv-pool:2:64  the same with the mean over the image before the dense layer, as most networks have it
          linear          the linear kernel `x . x'/d`, for embeddings
          rbf             a Gaussian kernel whose bandwidth is the median distance; `rbf:2.5` with that bandwidth

    - `x`: the inputs, which `rbf` takes its bandwidth from.

    Raises `ValueError` for any other text.

        >>> print(gs.networks.named("relu:3").depth)
        3
    """
    if not isinstance(text, str):
        raise ValueError(f"network must be a text such as relu:3, got a value of type {type(text).__name__}")
    kind, *parts = (part.strip().lower() for part in text.split(":"))
    if kind not in KINDS:
        raise ValueError(f"network must begin with one of {', '.join(KINDS)}, got {text!r}")
    if kind == "linear":
        _numbers(text, parts, ())
        return Linear()
    if kind == "rbf":
        (bandwidth,) = _numbers(text, parts, (float,))
        if bandwidth is not None:
            return RBF(bandwidth)
        if x is None:
            raise ValueError("network must have its bandwidth, such as rbf:2.5, where there are no inputs, got rbf")
        return RBF.of(x)
    if kind in CONVOLUTIONAL:
        depth, width = _numbers(text, parts, (int, int))
        return _convolutional(kind, 1 if depth is None else depth, 64 if width is None else width)
    depth, width, bias = _numbers(text, parts, (int, int, float))
    return FullyConnected(
        3 if depth is None else depth,
        512 if width is None else width,
        activation=DENSE[kind](),
        b_std=0.0 if bias is None else bias,
    )


def _numbers(text: str, parts: list[str], kinds: tuple[type, ...]) -> list[Any]:
    """The numbers behind the name, None for those that are not given."""
    if len(parts) > len(kinds):
        raise ValueError(f"network must have at most {len(kinds)} numbers behind its name, got {text!r}")
    numbers: list[Any] = []
    for part, kind in zip(parts, kinds, strict=False):
        try:
            numbers.append(kind(part))
        except ValueError:
            what = "a whole number" if kind is int else "a number"
            raise ValueError(f"network must have {what} where {part!r} stands, got {text!r}") from None
    return numbers + [None] * (len(kinds) - len(parts))


def _convolutional(kind: str, depth: int, width: int) -> Stax:
    if depth < 1 or width < 1:
        raise ValueError(f"network must have at least 1 convolution and 1 channel, got {depth} and {width}")
    layers = stax()
    parts = [part for _ in range(depth) for part in (layers.Conv(width, (3, 3), padding="SAME"), layers.Relu())]
    end = layers.Flatten() if kind == "conv" else layers.GlobalAvgPool()
    return Stax(layers.serial(*parts, end, layers.Dense(1)), f"{kind}:{depth}:{width}")
