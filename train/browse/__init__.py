"""A small local page: search a gallery with an image, and see why the images that it finds are near."""
