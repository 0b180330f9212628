"""Data as a re-ID codebase would feed it: files read and augmented by PIL, image by image, in a DataLoader."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from dsa_data.charts import CHARTS
from dsa_reid.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from dsap.mirror import mirror

NORMALISE = transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD)


class Files(Dataset):
    """Images as JPEG files and their DSAP as .npz, augmented one by one.

    Args:
        files: of the images; a .npz of the same name has the DSAP (`texels` (24, S, S, 3), `valid` (24, S, S)).
    """

    def __init__(self, files: list[Path], labels: torch.Tensor, height: int, width: int, pad: int) -> None:
        self.files, self.labels = files, labels
        self.still = transforms.Compose(
            [
                transforms.Resize((height, width)),
                transforms.Pad(pad),
                transforms.RandomCrop((height, width)),
            ]
        )
        self.after = transforms.Compose([transforms.ToTensor(), NORMALISE, transforms.RandomErasing(0.5, (0.02, 0.4))])

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return an image (3, H, W), its parts (24, 3, S, S) and its label."""
        image = self.still(Image.open(self.files[index]).convert("RGB"))
        with np.load(self.files[index].with_suffix(".npz")) as arrays:
            texels, valid = arrays["texels"], arrays["valid"]
        if torch.rand(()) < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            texels, valid = mirror(texels, valid)
        to_tensor = transforms.ToTensor()
        parts = torch.stack([NORMALISE(to_tensor(Image.fromarray(texels[chart]))) for chart in range(CHARTS)])
        return self.after(image), parts * torch.from_numpy(valid)[:, None], self.labels[index]


def loader(files: Files, order: list[list[int]], workers: int) -> DataLoader:
    """Return a DataLoader over the batches in `order`."""
    return DataLoader(files, batch_sampler=order, num_workers=workers)
