"""DukeMTMC-reID (Ristani et al., 2016; Zheng et al., ICCV 2017): Market-1501's layout, names like 0001_c2_f0046182.jpg.

Its distractors are the gallery's 408 identities that only one camera saw; they have numbers of their own.
"""

from __future__ import annotations

from . import market1501
from .dataset import Dataset, published

SETS = {
    "dukemtmcreid": Dataset(
        market1501.scan,
        "DukeMTMC-reID",
        "Its authors withdrew it in 2019; if you have DukeMTMC-reID.zip, unpack it there.",
        "dukemtmcreid",
        published((16522, 702), (2228, 702), (17661, 1110)),
        cameras=8,
        archive_folders=("DukeMTMC-reID",),
        persons="dukemtmc",
    )
}
