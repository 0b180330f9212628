"""The image decoder of training and of use: JPEG, PNG, WebP, BMP and plain TIFF by Pillow's codecs and NumPy."""
