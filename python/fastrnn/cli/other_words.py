"""Words of char-rnn, nanoGPT, Hugging Face and examples of PyTorch, and what fastrnn calls each."""

from __future__ import annotations

__all__ = ["COMMANDS", "OPTIONS", "option_for"]

# Of each entry: the words, with blanks between them, and what to type in fastrnn.
_COMMANDS = {
    "fastrnn train FILE": "learn pretrain demo",
    "fastrnn prepare FILE --out NAME.ids": "preprocess tokenize encode binarize preprocess-data",
    "fastrnn train --resume MODEL": "resume finetune fine-tune continue",
    "fastrnn sample MODEL": "generate gen write draw",
    "fastrnn sample MODEL --prompt TEXT": "complete infer inference prompt chat",
    "fastrnn eval MODEL FILE": "test evaluate evaluation val valid validate perplexity ppl",
    "fastrnn score MODEL TEXT": "logprob logprobs likelihood loglikelihood",
    "fastrnn score MODEL --rank": "rank rerank",
    "fastrnn next MODEL PREFIX": "topk top-k suggest",
    "fastrnn inspect MODEL --text FILE --out REPORT.html": "report visualize visualise explain show",
    "fastrnn fit classify FILE --out MODEL": "classify classifier classification",
    "fastrnn fit regress FILE --out MODEL": "regress regression",
    "fastrnn fit tag FILE --out MODEL": "tag tagger ner pos",
    "fastrnn fit translate FILE --out MODEL": "translate seq2seq",
    "fastrnn fit transcribe FILE --out MODEL": "transcribe ctc asr",
    "fastrnn fit forecast FILE --out MODEL": "forecast timeseries",
    "fastrnn convert SOURCE TARGET": "export import onnx",
    "fastrnn sweep FILE.toml": "search tune tuning grid gridsearch hyperopt optimize",
    "fastrnn quantize MODEL --out SMALL": "quantise compress shrink int8 quantization",
    "fastrnn plot LOG": "curve curves chart graph",
    "fastrnn data": "dataset datasets download corpus",
    "fastrnn bench": "benchmark speed perf",
    "fastrnn --version": "version",
}

_CPU = {
    "the CPU alone; --threads N says how many": "device devices gpu gpuid gpus cuda no-cuda use-cuda "
    "no-gpu accel accelerator backend opencl mps use-cpu",
    "--threads N": "num-threads nthreads n-threads n-jobs jobs num-workers workers cpus cores",
}
_LEARNING = {
    "--learning-rate X": "lr learningrate step-size",
    "--hidden-size N": "rnn-size nhid n-hidden hidden hidden-dim hidden-units num-units units",
    "--num-layers N": "n-layer nlayers n-layers layers num-layer depth",
    "--embedding-size N": "emsize emb-size embed-size embedding-dim embed-dim emb-dim wordvec-size",
    "--batch-size N": "per-device-train-batch-size train-batch-size bs minibatch-size",
    "--cell NAME": "model model-type rnn-type rnn",
    "--weight-decay X": "wd l2",
    "--seed N": "random-seed random-state manual-seed",
    "--schedule cosine": "lr-scheduler-type lr-scheduler scheduler lr-schedule",
    "--overwrite": "overwrite-output-dir clobber",
}
_TRAINED_PRECISION = {
    "--precision bfloat16": "bf16 fp16 half amp use-amp mixed-precision torch-dtype autocast",
    "after training: fastrnn quantize MODEL --out SMALL": "quantize int8 load-in-8bit",
}
_TRAIN = {
    "--steps N": "max-iters max-steps num-steps train-steps iterations iters num-iterations",
    "--epochs X": "max-epochs num-epochs num-train-epochs n-epochs nepochs",
    "--out MODEL.safetensors": "output-dir out-dir output save save-dir save-path checkpoint-dir model-dir",
    "--resume MODEL.safetensors": "checkpoint init-from resume-from-checkpoint resume-from load ckpt "
    "ckpt-path restore model-name-or-path",
    "--embedding-size N, and --hidden-size N for the layers": "n-embd d-model",
    "--seq-length N": "block-size bptt seq-len sequence-length context-length max-seq-length max-seq-len",
    "--accumulate N": "gradient-accumulation-steps accumulate-grad-batches",
    "--clip X": "max-grad-norm grad-clip clip-norm gradient-clip gradient-clip-val",
    "--warmup N": "warmup-steps warmup-iters num-warmup-steps",
    "--min-learning-rate X": "min-lr",
    "--decay-factor X": "learning-rate-decay decay-rate lr-decay gamma",
    "--decay-start N": "learning-rate-decay-after",
    "--eval-every N": "eval-interval eval-steps eval-val-every save-steps save-interval checkpoint-every",
    "--sample-every N": "sample-interval",
    "OUT.jsonl has each step; --eval-every N prints": "log-interval logging-steps print-every log-every",
    "--patience N": "early-stopping early-stopping-patience",
    "the texts themselves: fastrnn train FILE": "data-dir data dataset input input-file input-txt train-file "
    "train-path train-data text corpus train",
    "--valid FILE": "val-file validation-file valid-file eval-file val validation dev",
    "--valid-fraction X": "val-frac validation-split val-split val-fraction test-size",
    "--label-smoothing X": "label-smoothing-factor",
    "--tied": "tie tie-weights tied-weights tie-word-embeddings",
    "--optimizer NAME": "optim optimiser opt",
    "--weight-drop X": "wdrop",
    "--embedding-dropout X": "dropoute",
    "--locked-dropout, and --dropout X": "dropouti dropouth variational-dropout",
    "--tensorboard DIRECTORY": "report-to log-dir logdir logging-dir tensorboard-dir",
    "--precision bfloat16": "dtype",
    "--level word": "words word-level",
    "--max-types N": "vocab-size max-vocab max-vocab-size vocabulary-size",
    "--min-count N": "min-freq min-frequency unk-threshold",
}
_FIT = {
    "--epochs N": "max-epochs num-epochs num-train-epochs n-epochs nepochs max-iter max-iters max-steps",
    "--out MODEL.safetensors": "output-dir out-dir output save save-dir save-path model-dir",
    "--clip-norm X": "max-grad-norm grad-clip clip gradient-clip",
    "--x COLUMN": "text text-column input-column feature features",
    "--y COLUMN": "label label-column target targets target-column",
    "--valid FILE": "val-file validation-file valid-file eval-file val dev",
    "--n-iter-no-change N": "patience early-stopping-patience",
}
_SAMPLE = {
    "--prompt TEXT": "start prefix input text primetext prime start-text start-string seed-text",
    "--count N": "num-samples num-return-sequences n-samples samples",
    "--length N": "max-new-tokens max-length num-tokens sample-length len words tokens",
    "--temperature X": "temp",
    "--beam N": "num-beams beam-size beam-width beams",
    "--top-p X": "nucleus topp",
    "--top-k N": "topk",
    "the model itself: fastrnn sample MODEL": "checkpoint ckpt model model-path out-dir output-dir init-from",
}

_PRECISION = {
    "--precision int8": "quantize quantise quantized int8 load-in-8bit",
    "--precision bfloat16": "bf16 bfloat16 fp16 half amp dtype torch-dtype",
}

#: What to type instead of an unknown command.
COMMANDS = {word: line for line, words in _COMMANDS.items() for word in words.split()}

_TABLES = {
    "train": (_CPU, _LEARNING, _TRAINED_PRECISION, _TRAIN),
    "fit": (_CPU, _LEARNING, _TRAINED_PRECISION, _FIT),
    "sample": (_CPU, _PRECISION, _SAMPLE),
    "eval": (
        _CPU,
        _PRECISION,
        {
            "--batch-size N": "per-device-eval-batch-size eval-batch-size bs",
            "fastrnn eval MODEL FILE": "checkpoint model model-path data data-dir test-file eval-file input",
        },
    ),
    "score": (
        _CPU,
        _PRECISION,
        {"fastrnn score MODEL TEXT": "checkpoint model model-path text input prompt"},
    ),
    "next": (
        _CPU,
        _PRECISION,
        {
            "--top N": "top-k topk k num count",
            "fastrnn next MODEL PREFIX": "checkpoint model model-path prefix prompt start text",
        },
    ),
    "predict": (
        _CPU,
        _PRECISION,
        {
            "--out FILE": "output output-file output-dir save",
            "--proba": "probs probabilities predict-proba",
            "fastrnn predict MODEL FILE": "checkpoint model model-path input data test-file",
        },
    ),
    "inspect": (_CPU, {"--out REPORT.html": "output html report", "--text FILE": "input data file"}),
    "plot": (
        {
            "--out FILE": "output output-file save savefig png svg pdf",
            "--x NAME": "x-axis xaxis",
            "fastrnn plot LOG": "log log-file logdir input file",
        },
    ),
    "data": (
        {
            "--out FOLDER": "output output-dir out-dir data-dir dir root folder path save",
            "fastrnn data NAME": "name dataset download",
            "fastrnn data": "list ls all",
            "--overwrite": "force",
        },
    ),
    "convert": (
        _CPU,
        {
            "fastrnn convert SOURCE TARGET": "out output input source target to from format",
            "--vocabulary FILE": "vocab vocab-file tokenizer",
            "--check": "verify validate",
        },
    ),
    "quantize": (
        {
            "--out SMALL": "output output-file save target",
            "--precision int8": "int8 bits load-in-8bit",
            "--precision bfloat16": "bf16 bfloat16 fp16 half dtype",
        },
    ),
    "bench": ({"--threads N": "num-threads n-threads"},),
}

#: What to type instead of an unknown option, without its dashes, for each command.
OPTIONS = {
    command: {word: hint for table in tables for hint, words in table.items() for word in words.split()}
    for command, tables in _TABLES.items()
}


def option_for(command: str, typed: str) -> str | None:
    """Return what to type in a command instead of an option of another program; None if that is not known.

    Examples
    --------
    >>> from fastrnn.cli.other_words import option_for
    >>> option_for("train", "--max_iters")
    '--steps N'
    """
    return OPTIONS.get(command, {}).get(typed.lstrip("-").replace("_", "-").lower())
