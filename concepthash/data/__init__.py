"""Image sets: readers, cache of decoded images, augmentation, batches, splits."""
