"""From records to batches: reading, sampling P x K, augmentation, the guide's part images."""
