"""The store of part images that a run reads, and what is checked before torch, which takes seconds, is imported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dsa_app.config import setting_changes, to_dict
from dsa_app.errors import StoreError, TrainingError
from dsa_data.records import read_manifest
from dsa_data.stores.dsap import DsapStore
from dsa_data.stores.header import note_other_dataset
from dsap.config import WarpConfig


def open_store(dsap: Path, warp: WarpConfig | None) -> DsapStore:
    """Open a DSAP store. Raises StoreError if it was built with other settings than `warp`."""
    store = DsapStore(dsap)
    different = setting_changes(store.header.configuration["warp"], to_dict(warp)) if warp else ""
    if different:
        raise StoreError(f"{dsap} was built with other settings: {different}.\nBuild it again: dsap build --overwrite.")
    return store


def check_charts(store: DsapStore) -> None:
    """Raise StoreError for a store of version 1, which has no chart images."""
    if not store.has_charts:
        raise StoreError(
            f"{store.path} has version {store.version}, which has no chart images, and the region heads are trained on "
            "them. Build it again: dsap build --overwrite."
        )


def check_confidence(store: DsapStore) -> None:
    """Raise StoreError for a store without confidences."""
    if not store.has_confidence:
        raise StoreError(
            f"{store.path} has no confidences, and train.guidance.confidence or train.regions.confidence needs them. "
            "Make maps with them: densepose-extract run --confidence, then dsap build."
        )


def check_before_training(
    manifest: Path,
    dsap: Path | None,
    warp: WarpConfig | None,
    identities: int,
    charts: bool = False,
    dataset: str = "",
    confidence: bool = False,
) -> None:
    """Raise for data that no training can begin with.

    Args:
        dsap: the store of part images; None for a network without a guide and without region heads.
        warp: what the store should have been built with; None for any settings.
        identities: P, of a batch.
        charts: whether the store must have chart images, on which region heads are trained.
        dataset: the name of the dataset; a store of another is noted.
        confidence: whether the store must have confidences.

    Raises:
        DatasetError: for a manifest that is damaged, or has no training images.
        StoreError: for a store that is missing, damaged or of other settings.
        TrainingError: for fewer identities than a batch has.
    """
    check_identities([record.pid for record in read_manifest(manifest, ["train"])], identities)
    if dsap is not None:
        with open_store(dsap, warp) as store:
            if dataset:
                note_other_dataset(store, dataset)
            if charts:
                check_charts(store)
            if confidence:
                check_confidence(store)


def check_identities(pids: Sequence[int], identities: int) -> None:
    """Raise TrainingError if there are fewer than P identities, or fewer than two."""
    found = len(set(pids))
    if found < 2:
        raise TrainingError(
            f"The training split has images of {found} identity: training needs at least two. "
            "Add images of other persons to the split 'train'."
        )
    if found < identities:
        raise TrainingError(
            f"A batch needs {identities} identities, the training split has {found}. "
            f"Set fewer: --set train.identities={found}."
        )
