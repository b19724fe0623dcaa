"""MSP-IMPROV, four classes as listeners heard them, six sessions, each tested once (`emodarts`: four of them).

    python -m jax_ser_darts.main --config=msp_improv:quick --config.data.source=DIR --workdir=DIR

Twelve folds of one speaker, but in `emodarts`: --config.data.group_by=speaker. Scenarios: --config.data.parts="('R',)",
of P (natural), R (read), S (other improvised) and T (target, improvised). The emotion that the actor was asked for, of
the file's name: --config.data.intended_emotion.

Not run: the corpus is licensed and was not at hand. The reader is tested on small trees of its layout.
"""

from jax_ser_darts.configs import iemocap, joint

EMODARTS = ("01", "02", "03", "05")  # the sessions that emoDARTS tests
VARIANTS, CHOICES = ("quick", "full", "paper", "emodarts"), (joint.JOINT,)


def get_config(variant: str = "full"):
    """`quick`, `full`, and `paper` as of IEMOCAP; `emodarts` is `paper` on the authors' turns and test sessions.

    These are read turns with their target emotion, and four folds of one session; two sessions are never tested. Of the
    five others one validates here, where the authors choose by the test session.
    """
    size, _ = joint.split_variant(variant)
    if size not in VARIANTS:
        raise ValueError(f"configs/msp_improv.py has the variants {', '.join(VARIANTS)}, not {variant!r}")
    c = iemocap.get_config(variant.replace("emodarts", "paper"))
    c.data.corpus = "msp_improv"
    c.data.emotions = {"neutral": "neutral", "happy": "happy", "sad": "sad", "angry": "angry"}
    if size == "emodarts":
        c.data.parts = ("R",)
        c.data.intended_emotion = True
        c.folds.test = tuple((f"session_{session}",) for session in EMODARTS)
    return c
