"""CUHK03-NP: the new protocol in Market-1501's layout, in the folders `labeled/` and `detected/`."""

from __future__ import annotations

from . import market1501
from .cuhk03 import COUNTS
from .dataset import Dataset

SETS = {
    f"cuhk03-np-{boxes}": Dataset(
        market1501.scan,
        f"CUHK03, {boxes} boxes, new protocol, in Market-1501's layout",
        "Download cuhk03-np.zip (Zhong et al., person-re-ranking) and unpack it so that labeled/ and detected/ are in "
        "cuhk03-np/; or use the authors' own file: cuhk03-" + boxes + ".",
        f"cuhk03-np/{boxes}",
        COUNTS[boxes],
        cameras=2,
    )
    for boxes in ("labeled", "detected")
}
