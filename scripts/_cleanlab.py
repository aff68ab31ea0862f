"""cleanlab's score of spurious correlations in images, beside which planted shortcuts are told."""

import contextlib
import io
import warnings
from typing import Any

import numpy as np

PROPERTIES = ("dark", "light", "low_information", "odd_aspect_ratio", "odd_size", "grayscale", "blurry")
MISSING = "skipped: not installed"
ENLARGED = 4


def cleanlab_finding(images: np.ndarray, y: np.ndarray) -> str:
    """What Datalab says of images (n, h, w, 3) in [0, 1] with labels -1 and +1: the property of an image that tells the
    label best, its score (1: none of it, 0: all), and whether that is below Datalab's threshold."""
    try:
        import datasets  # pyright: ignore[reportMissingImports]
        from cleanlab import Datalab  # pyright: ignore[reportMissingImports]
        from PIL import Image
    except ImportError:
        return MISSING
    whole = np.kron((255 * np.clip(images, 0, 1)).astype(np.uint8), np.ones((1, ENLARGED, ENLARGED, 1), np.uint8))
    kinds = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    rows: dict[str, Any] = {"image": [Image.fromarray(image) for image in whole], "label": [int(v > 0) for v in y]}
    table = datasets.Dataset.from_dict(rows, features=kinds)
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        lab = Datalab(data=table, label_name="label", image_key="image", verbosity=0)
        properties = {name: {} for name in PROPERTIES}
        lab.find_issues(issue_types={"image_issue_types": properties, "spurious_correlations": {}})
        found = lab.get_info("spurious_correlations")
    scores = found["correlations_df"]
    best = scores.loc[scores["score"].idxmin()]
    verdict = "found" if best["score"] < found["threshold"] else "not found"
    return f"{verdict} ({str(best['property']).removesuffix('_score')}: {best['score']:.2f})"
