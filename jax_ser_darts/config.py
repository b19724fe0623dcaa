"""The run's configuration: every setting with its default and its meaning; config_checks.py checks them.

`configs/*.py` start from `default()` and change what differs. The sections:

    data       which corpus, where, which emotions
    features   sound -> [frames, coefficients]
    folds      speaker-independent test, validation and training parts
    space      what the search may choose
    model      what supernet and network share
    search     the bilevel search
    train      every network, from scratch
    baselines  what found networks are compared with
    grid       who does the jobs
    scores     intervals and tests of the report
    bundle     what is exported, and how it hears recordings
"""

import ml_collections

from jax_ser_darts import bilevel
from jax_ser_darts.devices import parallel
from jax_ser_darts.models.baselines import SIZES
from jax_ser_darts.models.relaxed import SCAN
from jax_ser_darts.search_space.operations import OPERATIONS
from jax_ser_darts.search_space.sequence_operations import FIXED


def default() -> ml_collections.ConfigDict:
    """Every setting, at its default."""
    c = ml_collections.ConfigDict()
    c.seed = 0  # of the random architectures; searches and trainings have seeds of their own
    c.devices = 0  # local devices to use; 0 is all
    c.parallel = (
        parallel.PMAP
    )  # how a step is mapped over them; or shard_map, which several processes always take
    c.fast_math = True  # lets a CPU add in another order: sums are vectorised

    c.data = ml_collections.ConfigDict()
    c.data.corpus = "manifest"  # demo, manifest, or a reader of data_prep/corpora, such as iemocap
    c.data.source = ""  # the corpus's folder, or the manifest; "" makes the demo corpus
    c.data.records = ""  # where TFRecords go; "" is WORKDIR/records
    c.data.emotions = ml_collections.ConfigDict()  # {emotion: class}; empty takes every emotion as it is
    c.data.parts = ()  # of the corpus, as its reader names them, e.g. ("improvised",); () takes all
    c.data.intended_emotion = (
        False  # True takes the emotion asked of the speaker instead of the one heard (msp_improv)
    )
    c.data.group_by = "speaker"  # what folds divide: speaker or session; part is the corpus's own division
    c.data.on_bad_file = "error"  # or skip
    c.data.workers = 0  # processes that compute features; 0 is one a core

    c.features = ml_collections.ConfigDict()
    c.features.kind = "logmel"  # or mfcc
    c.features.sampling_rate = 16_000  # Hz
    c.features.seconds = 4.0  # longer utterances are cut here
    c.features.n_fft = 512  # samples
    c.features.hop = 160  # samples
    c.features.coefficients = 64  # mel bands, or cepstral coefficients
    c.features.n_mels = 128  # mel bands below the cepstral coefficients (mfcc)
    c.features.fmin = 0.0  # Hz
    c.features.fmax = 0.0  # Hz; 0 is half the sampling rate
    c.features.pool = 4  # frames pooled into one
    c.features.pool_kind = "mean"  # or max

    c.folds = ml_collections.ConfigDict()
    c.folds.count = 6  # parts the speaker groups are divided in; 0 leaves one group out
    c.folds.test = ()  # groups that each fold tests, (("speaker_01M", "speaker_02F"), ...), instead of count
    c.folds.run = ()  # which folds to run; () is all
    c.folds.validation_groups = 2  # speaker groups that choose a training's epoch
    c.folds.seed = 0

    c.space = ml_collections.ConfigDict()
    c.space.nodes = 4
    c.space.operations = OPERATIONS

    c.model = ml_collections.ConfigDict()
    c.model.stem_multiplier = 3
    c.model.stem_stride = 1  # 2 halves frames and coefficients before the first cell
    c.model.project = 64  # of a frame, before the fixed LSTM
    c.model.hidden = 64  # of the fixed LSTM, a direction
    c.model.attention = 64  # of the pooling over time

    c.search = ml_collections.ConfigDict()
    c.search.methods = bilevel.ORDERS  # which of the variants below
    c.search.seeds = (0,)  # searches of each: of the weights, the alphas and the order of the batches
    c.search.variants = (
        ml_collections.ConfigDict()
    )  # name -> its order, and settings of this section that it changes
    c.search.variants.first = ml_collections.ConfigDict({"order": bilevel.FIRST})
    c.search.variants.second = ml_collections.ConfigDict({"order": bilevel.SECOND})
    c.search.variants.implicit = ml_collections.ConfigDict({"order": bilevel.IMPLICIT})
    c.search.variants.darts_minus = ml_collections.ConfigDict({"order": bilevel.FIRST, "auxiliary_skip": 1.0})
    c.search.variants.darts_plus = ml_collections.ConfigDict(
        {"order": bilevel.FIRST, "stop_skips": 2, "stop_stable": 10}
    )
    c.search.variants.robust_darts = ml_collections.ConfigDict(
        {"order": bilevel.FIRST, "eigenvalue": True, "stop_eigenvalue": 1.3}
    )
    c.search.variants.darts_pt = ml_collections.ConfigDict({"order": bilevel.FIRST, "perturbation": True})
    c.search.variants.pc_darts = ml_collections.ConfigDict(
        {"order": bilevel.FIRST, "partial_channels": 4, "edge_normalisation": True}
    )
    c.search.variants.second_differences = ml_collections.ConfigDict(
        {"order": bilevel.SECOND, "hvp": bilevel.FINITE_DIFFERENCES}
    )
    c.search.cells = 4
    c.search.reductions = ()  # cells that halve; () is at 1/3 and 2/3
    c.search.channels = 8
    c.search.sequence = FIXED  # LSTM, attention; or cells searched too: all, lstm, rnn, lstm_att, rnn_att
    c.search.sequence_nodes = 4  # of a sequence cell, where there are any
    c.search.sequence_cells = 4
    c.search.sequence_width = 16  # units of a node of a sequence cell, and of each recurrence in it
    c.search.epochs = 50
    c.search.batch_size = 16
    c.search.params_share = 0.5  # of the speakers who are not tested; the others' data is for the alphas
    c.search.learning_rate = 0.025
    c.search.final_learning_rate = 0.001
    c.search.momentum = 0.9
    c.search.weight_decay = 3e-4
    c.search.clip = 5.0
    c.search.alphas_learning_rate = 3e-4
    c.search.alphas_betas = (0.5, 0.999)
    c.search.alphas_weight_decay = 1e-3
    c.search.alphas_scale = 1e-3
    c.search.warmup_epochs = 0  # epochs that train weights only
    c.search.hvp = bilevel.EXACT  # or finite_differences
    c.search.hvp_epsilon = 0.01
    c.search.dropout = 0.0
    c.search.class_weights = True
    c.search.auxiliary_skip = (
        0.0  # DARTS-: beta of a further skip on each edge, falls to 0; theirs starts at 1
    )
    c.search.stop_skips = 0  # ends with so many skip connections in the normal cell (DARTS+: 2); 0 never
    c.search.stop_stable = (
        0  # ends when the learnable candidates' ranking has been the same for so many epochs (DARTS+: 10)
    )
    c.search.eigenvalue = False  # each epoch: the dominant eigenvalue of d2 L_val / d alphas2, on one batch
    c.search.eigenvalue_products = 20  # at most, each a pass forward over reverse
    c.search.eigenvalue_tolerance = 1e-2  # of the eigenvalue; fewer products do then
    c.search.stop_eigenvalue = 0.0  # ends when its mean has grown by this factor (RobustDARTS: 1.3); 0 never
    c.search.stop_eigenvalue_window = 5  # epochs of a mean
    c.search.stop_eigenvalue_delay = (
        4  # epochs between the means; the genotype is that of so many epochs before
    )
    c.search.stop_eigenvalue_start = 10  # no end before this epoch
    c.search.perturbation = (
        False  # chooses what the supernet misses most (DARTS-PT) instead of the largest alphas
    )
    c.search.perturbation_batches = 4  # of the alphas' data, for each loss
    c.search.perturbation_steps = 20  # that train the weights after each decision
    c.search.partial_channels = (
        1  # K: a mixture sees 1/K of the channels, the others pass it by (PC-DARTS: 4); 1 all
    )
    c.search.edge_normalisation = (
        False  # weighs the edges of each node by a softmax of their betas (PC-DARTS), found with the alphas
    )
    c.search.neumann_terms = 3  # order implicit: products with the Hessian of L_train
    c.search.neumann_rate = 0.01  # of the series: above 2 / largest eigenvalue it diverges
    c.search.edges = SCAN  # little memory, compiled soon; or unroll: faster steps
    # Computes the edges of each CNN cell again in the backward pass, as looped ones are anyway: less memory, slower.
    c.search.remat = False
    c.search.custom_kernels = True  # False: plain XLA convolutions and autodiff

    c.train = ml_collections.ConfigDict()
    c.train.genotype = ""  # a genotype file to train, instead of those the search finds
    c.train.cells = 4
    c.train.reductions = ()
    c.train.channels = 8
    c.train.sequence_cells = 4  # where the genotype has a sequence cell
    c.train.sequence_width = 16
    c.train.epochs = 60
    c.train.batch_size = 16
    c.train.seeds = (0,)
    c.train.optimiser = "adamw"  # or sgd
    c.train.learning_rate = 1e-3
    c.train.final_learning_rate = 1e-5
    c.train.momentum = 0.9  # sgd
    c.train.weight_decay = 1e-3
    c.train.clip = 5.0
    c.train.dropout = 0.3
    c.train.drop_path = 0.0
    c.train.auxiliary = 0.0  # weight of the auxiliary head's loss; 0 is off
    c.train.label_smoothing = 0.0
    c.train.class_weights = True
    c.train.patience = 0  # epochs without a better validation UA before stopping; 0 never stops early
    c.train.bn_momentum = 0.9
    c.train.checkpoint_epochs = 5
    c.train.augment = ml_collections.ConfigDict()
    c.train.augment.time_masks = 0
    c.train.augment.time_width = 20  # frames, after pooling
    c.train.augment.time_share = 1.0  # of an utterance that one mask may cover
    c.train.augment.frequency_masks = 0
    c.train.augment.frequency_width = 8  # coefficients
    c.train.augment.gain = 0.0  # dB, at most
    c.train.augment.noise = 0.0  # standard deviation, in normalised units
    c.train.augment.shift = 0  # frames, at most

    c.baselines = ml_collections.ConfigDict()
    c.baselines.random = 0  # architectures drawn from the search space and trained as the found ones
    c.baselines.networks = ()  # of cnn, lstm, cnn_lstm, cnn_lstm_attention
    c.baselines.sizes = SIZES  # of the baselines: as published, as many parameters as the found networks
    c.baselines.parameters = 0  # of the matched size; 0 is the mean of the found networks
    c.baselines.svm = False  # an SVM on openSMILE's eGeMAPS functionals: pip install -e '.[baselines]'
    c.baselines.svm_c = (1.0,)  # several are tried on the validation speakers

    c.grid = ml_collections.ConfigDict()
    # Processes that do the jobs: each has its share of the GPUs or cores. 1 is this process; a TPU takes one.
    c.grid.workers = 1

    c.scores = ml_collections.ConfigDict()
    c.scores.level = 0.95  # of intervals and tests
    c.scores.resamples = 2000  # of the bootstrap
    c.scores.cluster = "speaker"  # what the paired tests take as independent: speaker or fold
    c.scores.permutations = 100_000  # of the paired tests, where all of them would be more

    c.bundle = ml_collections.ConfigDict()
    c.bundle.method = (
        ""  # whose network is exported; "" is the best on validation speakers, see serving/export.py
    )
    c.bundle.fold = -1  # of which fold; -1 is any
    c.bundle.seed = -1  # of which training seed; -1 is any
    c.bundle.licence = ""  # of the corpus, for the model card; "" is what is known of a corpus with a reader
    c.bundle.overlap = 0.5  # of the windows that a long recording is heard in; a share of a window
    c.bundle.silence = -60.0  # dB of full scale; no 25 ms of a window above it: silence
    c.bundle.labels = ()  # evaluate --bundle: ((class of the corpus, class of the bundle), ...) where names differ
    return c


def search_variant(config: ml_collections.ConfigDict, method: str) -> tuple[str, ml_collections.ConfigDict]:
    """The order of a search method, and the section `search` with the settings that it changes."""
    settings = ml_collections.ConfigDict(config.search.to_dict())
    changes = dict(settings.variants[method])
    order = changes.pop("order")
    settings.update(changes)
    return order, settings
