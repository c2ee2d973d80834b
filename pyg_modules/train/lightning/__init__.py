"""Lightning: a module, callbacks and checkpoints without pickle. Needs the extra ``train``."""

from pyg_modules.train.lightning.exact_resume import ExactResume
from pyg_modules.train.lightning.lit_modular import LitModular
from pyg_modules.train.lightning.partition_callback import PartitionCallback
from pyg_modules.train.lightning.safetensors_io import SafetensorsIO
from pyg_modules.train.lightning.sparse_callback import SparseCallback

__all__ = ["ExactResume", "LitModular", "PartitionCallback", "SafetensorsIO", "SparseCallback"]
