import torch
from torchvision.transforms import functional

from dsa_train.batches.dataset import Batch
from dsa_train.batches.jitter import jitter


def random_images(*shape, seed=0):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def test_as_torchvision_does_it_image_by_image():
    images = random_images(4, 12, 8, 3)
    colours = torch.tensor([[1.3, 0.8, 1.4], [0.6, 1.5, 0.2], [1.0, 1.0, 1.0], [0.9, 1.0, 2.0]])
    result = jitter(Batch(images), colours).images
    for image, found, (brightness, contrast, saturation) in zip(images, result, colours.tolist(), strict=True):
        expected = functional.adjust_brightness(image.permute(2, 0, 1), brightness)
        expected = functional.adjust_contrast(expected, contrast)
        expected = functional.adjust_saturation(expected, saturation).permute(1, 2, 0)
        assert (found.int() - expected.int()).abs().max() <= 2, "floors of three steps may part by one each"
        assert (found == expected).float().mean() > 0.95
    assert torch.equal(result[2], images[2])


def test_a_part_changes_as_the_image_that_it_is_of():
    """Texels copied from the image get the colours that the image's pixels get."""
    images, size = random_images(3, 48, 16, 3), 4
    texels = images.view(3, -1, 3)[:, : 24 * size * size].view(3, 24, size, size, 3)
    valid = torch.ones(3, 24, size, size, dtype=torch.bool)
    colours = torch.tensor([[1.2, 0.7, 1.5], [0.8, 1.3, 0.5], [1.1, 1.1, 0.0]])
    found = jitter(Batch(images, texels, valid), colours)
    assert torch.equal(found.texels, found.images.view(3, -1, 3)[:, : 24 * size * size].view_as(texels))
    grey = found.images[2].int()
    assert torch.equal(grey[..., 0], grey[..., 1]), "saturation 0 leaves grey"
