"""How often a computation reads numbers of tensors."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_READ = {
    torch.ops.aten._local_scalar_dense.default,
    torch.ops.aten.nonzero.default,
    torch.ops.aten.equal.default,
}


class Looks(TorchDispatchMode):
    """Counts how often numbers of tensors are read, for which a device has to be waited for."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func in _READ
        return func(*args, **(kwargs or {}))
