"""Why fairseq-signals failed, from what it printed."""

from __future__ import annotations

import re
from collections.abc import Sequence

# The first pattern that occurs anywhere in the last lines names the cause: special before general.
_CAUSES: tuple[tuple[str, str], ...] = (
    (
        r"Please build Cython components|data_utils_fast",
        "its Cython extension is not built. In its clone run `python setup.py build_ext --inplace` "
        "with that interpreter.",
    ),
    (
        r"mutable default .* is not allowed: use default_factory",
        "its omegaconf < 2.1 and hydra-core < 1.1 cannot be imported by Python 3.11 or newer. "
        "Make its environment with Python 3.9 or 3.10.",
    ),
    (
        r"cannot import name '\w+' from 'transformers|No module named 'transformers\.",
        "its transformers is too new. Install 4.47.1 there (4.57 and 5 lack names it imports).",
    ),
    (
        r"only (0-dimensional|length-1) arrays can be converted|numpy\.(core|float|int|bool)\b.*"
        r"(has no attribute|No module)|has no attribute '(float|int|bool)'",
        "its NumPy is too new. Install one below 2.4 there.",
    ),
    (
        r"CUDA out of memory|OutOfMemoryError|OOM during optim",
        "the GPU's memory was not enough. Lower batch_size (raise gradient_accumulation by the "
        "same factor to keep the step), or use ECG_PRECISION=fp16.",
    ),
    (
        r"Found no NVIDIA driver|Torch not compiled with CUDA|No CUDA GPUs are available"
        r"|CUDA driver .*insufficient",
        "it trains only on CUDA and found no usable GPU. Check nvidia-smi, CUDA_VISIBLE_DEVICES "
        "and that its torch is built for CUDA.",
    ),
    (
        r"world size is \d+ but have \d+ available devices",
        "it was asked for more GPUs than it sees. Lower n_gpus of the resource.",
    ),
    (
        r"CUDA error: no kernel image|not compatible with the current PyTorch installation",
        "its torch is not built for this GPU. Install a torch that is.",
    ),
    (
        r"Weights only load failed|weights_only",
        "torch 2.6 or newer refused the pretrained file. Give the file that fairseq-signals' own "
        "trainer wrote.",
    ),
    (
        r"(FileNotFoundError|No such file).*\.pt\b",
        "the pretrained file is not there. Set ECG_PRETRAINED to the .pt file.",
    ),
    (
        r"(FileNotFoundError|No such file).*\.mat\b",
        "a .mat file is not there. Materialize mat_records for all shards, then fairseq_manifests.",
    ),
    (
        r"Error\(s\) in loading state_dict|size mismatch for",
        "the pretrained file is of another model. Give a checkpoint of ECG-FM's architecture.",
    ),
    (
        r"mat1 and mat2 shapes cannot be multiplied|Given groups=\d+, weight of size",
        "the pretrained encoder has another width or number of leads than the call says.",
    ),
    (
        r"Target size .* must be the same as input size",
        "the labels' number differs between y.npy and the model. Materialize fairseq_manifests "
        "again.",
    ),
    (
        r"ConfigCompositionException|Could not override|OverrideParseException",
        "its configuration knows another set of options. Is the clone that of Jwoo5's "
        "fairseq-signals, and the configuration folder its own?",
    ),
    (
        r"Minimum loss scale reached|FloatingPointError",
        "the loss overflowed in half precision. Use ECG_PRECISION=fp32 or a lower learning rate.",
    ),
    (
        r"DataLoader worker .* is killed|unable to (open|write to) (file|shared memory)|Bus error",
        "a process that loads data died: too little memory, or a small /dev/shm (in a container: "
        "--shm-size). Lower n_workers of the resource.",
    ),
    (
        r"No space left on device",
        "the disk is full. Make room in the folder that is named, or in /tmp, or set ECG_DATA_DIR "
        "to a folder on a larger disk.",
    ),
    (
        r"No module named '?[\w.]+",
        "a package is missing in its environment: install the one that is named.",
    ),
)
_KILLED = (
    "the system ended it with signal {signal}; 9 is mostly too little main memory. Lower "
    "n_workers of the resource or batch_size."
)
_UNKNOWN = "none that is known; read the lines below."


def find_cause(lines: Sequence[str], status: int = 1) -> str:
    """Name the probable cause of a failure, and what to do.

    Parameters
    ----------
    lines
        The last lines that the process printed.
    status
        How it ended; below 0 a signal ended it.

    >>> find_cause(["torch.OutOfMemoryError: CUDA out of memory. Tried to allocate"])[:39]
    "the GPU's memory was not enough. Lower "
    """
    text = "\n".join(lines)
    for pattern, cause in _CAUSES:
        if re.search(pattern, text):
            return cause
    return _KILLED.format(signal=-status) if status < 0 else _UNKNOWN
