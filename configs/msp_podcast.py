"""MSP-Podcast, four classes, the corpus's own training, validation and test parts.

    python -m jax_ser_darts.main --config=msp_podcast:quick --config.data.source=DIR --workdir=DIR

Test1 is tested; for another: --config.data.parts="('train','validation','test2')"; for both, parts="()". A speaker in
two parts is an error, unless both are test parts. Utterances of unknown speakers stay in the part where the
corpus has them. Test3, whose labels are withheld, and what newer releases bring of earlier ones are passed over.
Features are kept in memory, 25 KiB an utterance.

Not run: the corpus is licensed and was not at hand. The reader is tested on small trees of its layout.
"""

from jax_ser_darts.configs import ravdess

VARIANTS, CHOICES = ravdess.VARIANTS, ravdess.CHOICES


def get_config(variant: str = "full"):
    """`quick` for two cores: smaller cells, few epochs; a hundred thousand utterances take long even so."""
    c = ravdess.get_config(variant)
    c.data.corpus = "msp_podcast"
    c.data.parts = ("train", "validation", "test1")
    c.data.group_by = "part"
    c.folds.run = ()  # one
    c.search.epochs = 15
    c.train.epochs = 30
    c.search.batch_size = c.train.batch_size = 64
    if variant.split(",")[0] == "quick":
        c.search.epochs = 1
        c.train.epochs = 2
    return c
