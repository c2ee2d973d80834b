from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from pyg_modules._checks import check_bool
from pyg_modules._seeding import seeded
from pyg_modules.modules.joined_parts import fitting_parts, graphs_alone
from pyg_modules.nn.synchronous_graph import SynchronousGraph
from pyg_modules.ops.batched_gradient import for_each_gradient
from pyg_modules.ops.differentiable import refuse_second_derivative
from pyg_modules.ops.sharding import whole
from pyg_modules.parallel.checkpoint import load_checkpoint, save_checkpoint
from pyg_modules.parallel.modular_graph import ModularGraph
from pyg_modules.parallel.placement import place_modules


class DistributedModules(nn.Module):
    r"""Independent modules spread over the ranks of ``torch.distributed``.

    .. math::
        y = \sum_{r} \sum_{k \in r} \mathrm{part}_k(x)

    Every rank holds the parameters of its own modules alone. A forward pass is one all-reduce, of
    the outputs; a backward pass needs none, since every rank computes the same loss of the same
    outputs, so that its gradient is there already. Where the input has a gradient, that is
    all-reduced too. Gradients are clipped by :func:`clip_grad_norm_`.

    In ``DistributedDataParallel`` it needs a ``process_group``, the ranks that have copies of the
    same modules: by default it would copy those of the first rank to all.

    Args:
        parts (iterable of SynchronousGraph): All modules, e.g. from :func:`split`, the same on
            every rank, on the device of the rank. Those of other ranks are let go. Weights are not
            compared: give every rank the same seed, or :meth:`load` a checkpoint.
        group (torch.distributed.ProcessGroup, optional): The ranks, at most as many as modules,
            e.g. ``mesh["modules"].get_group()`` of a :class:`~torch.distributed.DeviceMesh`.
            (default: all ranks)
        shard_inputs (bool, optional): Whether a rank gets only the inputs that its modules read,
            ``x[..., model.input_ids]``, which saves loading where inputs are partitioned too
            (``scope="inputs"`` or ``"all"``). Its gradient is then that of the modules of the rank.
            (default: ``False``)

    Shapes:
        - **input:** :math:`(*, I)`, the same on every rank; or :math:`(*, I_{\mathrm{rank}})`
        - **output:** :math:`(*, O)`, the same on every rank

    Attributes:
        parts: The modules of this rank by number, a :class:`torch.nn.ModuleDict`.
        modules_of_ranks: The numbers of the modules of every rank.
        input_ids: Inputs that the modules of this rank read, ``[I_rank]``.

    Raises:
        RuntimeError: If ``torch.distributed`` was not initialised.
        TypeError: If a part is not a ``SynchronousGraph``.
        ValueError: If the parts do not fit together, differ between ranks in more than weights,
            or are fewer than the ranks.

    Example:
        >>> import os, torch
        >>> from pyg_modules import SynchronousGraph, UnitGraph, cut, partition_units, split
        >>> from pyg_modules.parallel import DistributedModules
        >>> os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": "0"}
        >>> torch.distributed.init_process_group("gloo", rank=0, world_size=1)
        >>> layer = SynchronousGraph(UnitGraph.complete(4, 12, 2))
        >>> model = DistributedModules(split(cut(layer, partition_units(layer, 3))))
        >>> model(torch.rand(5, 4)).shape
        torch.Size([5, 2])
        >>> torch.distributed.destroy_process_group()
    """

    def __init__(
        self,
        parts: Iterable[nn.Module],
        *,
        group: dist.ProcessGroup | None = None,
        shard_inputs: bool = False,
    ) -> None:
        super().__init__()
        check_bool("shard_inputs", shard_inputs)
        listed = graphs_alone(fitting_parts(parts), "DistributedModules")
        if not (dist.is_available() and dist.is_initialized()):
            raise RuntimeError(
                "Expected torch.distributed to be initialised (got none). Start the program with"
                " torchrun, and call torch.distributed.init_process_group() first."
            )
        self._group = _Group(group)
        costs = [part.graph.num_edges + part.graph.num_units for part in listed]
        self.modules_of_ranks = place_modules(costs, dist.get_world_size(group))
        #: What the modules are but for their weights; checkpoints of others are refused.
        self.fingerprint = _fingerprint(listed)
        self._check_same_everywhere()
        own = self.modules_of_ranks[dist.get_rank(group)]
        self.parts = nn.ModuleDict({str(module): listed[module] for module in own})
        self._local = (ModularGraph(self._own_parts().values()),)
        self._num_modules = len(listed)
        self.shard_inputs = shard_inputs
        self._num_inputs = listed[0].graph.num_inputs
        self.input_ids = self._ids_of_inputs()

    def forward(self, x: Tensor) -> Tensor:
        """The sum of the outputs of all modules of all ranks.

        Raises:
            RuntimeError: If another rank has stopped, or does not answer within the timeout of the
                group.
            ValueError: If ``x`` has the wrong number of inputs.
        """
        if self.shard_inputs:
            x = self._widened(x)
        elif x.requires_grad:
            x = _Entered.apply(x, self._group.ranks)  # type: ignore[no-untyped-call]
        with self._draws_of_its_own(x.device):
            outputs = self._of_this_rank()(x)
        if torch.is_grad_enabled() and not outputs.requires_grad:
            # Where all modules of this rank are frozen, others may be trained.
            outputs = outputs.detach().requires_grad_()
        total: Tensor = _Summed.apply(  # type: ignore[no-untyped-call]
            outputs, self._group.ranks
        )
        return total

    def grad_norm(self) -> Tensor:
        """The norm of the gradients of the modules of all ranks, which all have to ask for it.

        Returns:
            Tensor: A scalar of torch.float64, the same on every rank.
        """
        gradients = [one.grad for one in self.parameters() if one.grad is not None]
        # Of the same dtype where there are none.
        total = whole(get_total_norm(gradients)).to(self.input_ids.device).double().square()
        all_reduce(total, self._group.ranks)
        return total.sqrt()

    def save(self, folder: str | os.PathLike[str], *, optimizer: Optimizer | None = None) -> None:
        """Write the modules of all ranks, as safetensors, one file per rank.

        Every rank has to call it. The checkpoint can be loaded on another number of ranks.

        Args:
            folder (path): All ranks share it. An earlier checkpoint in it is replaced as a whole,
                when all ranks have written.
            optimizer (torch.optim.Optimizer, optional): That of the modules of this rank. What it
                remembers is saved, its learning rate is not. (default: none)

        Raises:
            ValueError: On all ranks, if ``folder`` holds anything but a checkpoint, or cannot be
                written to, or the optimizer is not that of the modules.
        """
        save_checkpoint(self, folder, optimizer, self._manifest(), self._group.ranks)

    def load(self, folder: str | os.PathLike[str], *, optimizer: Optimizer | None = None) -> None:
        """Read what :meth:`save` wrote into the modules of this rank. Every rank has to call it.

        Args:
            folder (path): The checkpoint.
            optimizer (torch.optim.Optimizer, optional): Gets the state that was saved with one of
                the same type.

        Raises:
            ValueError: On all ranks, if there is no complete checkpoint, it is one of other
                modules, or has no state of such an optimizer; or if the optimizer is not that of
                the modules.
        """
        load_checkpoint(self, folder, optimizer, self._manifest(), self._group.ranks)

    def extra_repr(self) -> str:
        """The ranks, for ``repr``."""
        return f"modules_of_ranks={self.modules_of_ranks}"

    def _of_this_rank(self) -> ModularGraph:
        """Those of this rank, also where one was replaced in :attr:`parts`."""
        parts = list(self._own_parts().values())
        known = list(self._local[0].parts)
        if len(parts) != len(known) or any(a is not b for a, b in zip(parts, known, strict=True)):
            self._local = (ModularGraph(parts),)
        return self._local[0]

    @contextmanager
    def _draws_of_its_own(self, device: torch.device) -> Iterator[None]:
        """Dropout of this rank: with the seed that all share, all modules would drop the same."""
        parts = self._own_parts().values()
        if not any(part.training and part.dynamics.dropout > 0 for part in parts):
            yield
            return
        seed = int(torch.randint(2**62, (), device="cpu"))
        with seeded(seed + dist.get_rank(), device):
            yield

    def _widened(self, x: Tensor) -> Tensor:
        """The inputs of this rank in their places among all, 0 elsewhere, where nobody reads."""
        if x.size(-1) != self.input_ids.numel():
            raise ValueError(
                f"Expected the {self.input_ids.numel()} inputs of this rank (got"
                f" {list(x.shape)}). Give it x[..., model.input_ids]."
            )
        return x.new_zeros(*x.shape[:-1], self._num_inputs).index_copy(-1, self.input_ids, x)

    def _ids_of_inputs(self) -> Tensor:
        """Those that the modules of this rank read, where these are."""
        parts = self._own_parts().values()
        sources = torch.cat([part.graph.edge_index[0] for part in parts])
        ids: Tensor = torch.unique(sources[sources < self._num_inputs])
        return ids.to(next(iter(parts)).device)

    def _own_parts(self) -> Mapping[str, SynchronousGraph]:
        return dict(self.parts.items())  # type: ignore[arg-type]

    def _manifest(self) -> dict[str, Any]:
        return {"num_modules": self._num_modules, "fingerprint": self.fingerprint}

    def _check_same_everywhere(self) -> None:
        group = self._group.ranks
        found: list[str | None] = [None] * dist.get_world_size(group)
        dist.all_gather_object(found, self.fingerprint, group=group)
        different = [rank for rank, other in enumerate(found) if other != found[0]]
        if different:
            raise ValueError(
                f"Expected the same modules on every rank (got others on rank {different[0]} than"
                f" on rank 0). Give every rank the same seed, or load the same layer everywhere."
            )

    def _apply(self, fn: Any, recurse: bool = True) -> DistributedModules:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._of_this_rank()._prepare()
        self.input_ids = self._ids_of_inputs()
        return self


class _Group:
    """Ranks, which copies of a module share."""

    def __init__(self, ranks: dist.ProcessGroup | None) -> None:
        self.ranks = ranks

    def __deepcopy__(self, memo: object) -> _Group:
        return self

    def __reduce__(self) -> Any:
        if self.ranks is not None:
            raise TypeError(
                "Expected DistributedModules of all ranks in a pickle (got some with group=, which"
                " no other process knows). Use model.save(folder), or model.state_dict()."
            )
        return _Group, (None,)


def _fingerprint(parts: Iterable[SynchronousGraph]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        graph = part.graph
        counts = graph.num_inputs, graph.num_hidden, graph.num_outputs
        digest.update(repr((*counts, part.dynamics.config(), part.solver)).encode())
        digest.update(graph.edge_index.numpy().tobytes())
        if part.origin is not None:
            digest.update(part.origin.unit_ids.cpu().numpy().tobytes())
    return digest.hexdigest()


class _Summed(torch.autograd.Function):
    """The sum over all ranks; every rank has the gradient of the sum already."""

    @staticmethod
    def forward(ctx: Any, outputs: Tensor, group: dist.ProcessGroup | None) -> Tensor:  # noqa: ARG004
        # Ranks add up memory, whatever its order.
        total = outputs.detach().clone(memory_format=torch.contiguous_format)
        all_reduce(total, group)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # noqa: ARG004
        _refuse_second_derivative()
        return grad, None


class _Entered(torch.autograd.Function):
    """The input as it is; its gradient is the sum over all ranks."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: dist.ProcessGroup | None) -> Tensor:
        ctx.group = group
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        _refuse_second_derivative()

        def summed(grad: Tensor) -> tuple[Tensor | None, ...]:
            total = grad.clone(memory_format=torch.contiguous_format)
            all_reduce(total, ctx.group)
            return (total,)

        return *for_each_gradient(summed, grad), None


def _refuse_second_derivative() -> None:
    # It would need what the other ranks have.
    refuse_second_derivative("a sum over ranks", "Use ModularGraph on one rank.")


def all_reduce(total: Tensor, group: dist.ProcessGroup | None) -> None:
    """Add up ``total`` over the ranks, in place.

    Raises:
        RuntimeError: If another rank has stopped, or does not answer in time.
    """
    try:
        dist.all_reduce(total, group=group)
    except RuntimeError as error:
        raise RuntimeError(
            f"Expected all ranks to take part in an all-reduce (got: {error}). Another rank has"
            f" stopped or hangs; look at its output, then start all ranks again from the last"
            f" checkpoint."
        ) from error
