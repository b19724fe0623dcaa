"""Records to batches: folds of speakers, normalisation, augmentation."""
