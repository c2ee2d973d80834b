"""What operations of torch a computation calls, and how often it reads numbers of tensors."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_READ = {
    torch.ops.aten._local_scalar_dense.default,
    torch.ops.aten.nonzero.default,
    torch.ops.aten.equal.default,
}


class Calls(TorchDispatchMode):
    """The operations that are called while it is on, in their order."""

    def __init__(self):
        super().__init__()
        self.operations = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.operations.append(func)
        return func(*args, **(kwargs or {}))


class Looks(Calls):
    """Counts how often numbers of tensors are read, for which a device has to be waited for."""

    @property
    def count(self):
        return sum(func in _READ for func in self.operations)
