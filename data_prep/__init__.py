"""Sound on disk -> TFRecords of features, ready for jax_ser_darts."""
