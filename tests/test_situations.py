"""A thousand random ways to use a layer, against a plain dense module used in the same way.

Hooks, wrappers, parametrizations, autocast and devices are combined at random; outputs, gradients,
and which hooks ran, how often and with what, have to be those of the reference.
"""

import copy
import io
import re
import traceback
from collections import defaultdict
from contextlib import ExitStack, contextmanager, nullcontext

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad
from torch.optim.swa_utils import AveragedModel
from torch.utils.checkpoint import checkpoint

from pyg_modules import Equilibrium, ModularGraph, SynchronousGraph
from tests.dense_graph import DenseGraph
from tests.situations import COMPILED, TRANSFORMED, build, draw, inner, inputs, refusals

NUM_SITUATIONS, CHUNK = 1000, 50
# Sums of at most 17 terms, over at most 5 updates, forwards and backwards, each rounded by half an
# eps, in another order. Values are up to 10, so differences stay within a few hundred eps of the
# largest value; half precision has fewer digits than that leaves, and gets 16 eps.
ROUNDING = {
    torch.float64: 1e-12,
    torch.float32: 2e-5,
    torch.bfloat16: 16 * 2**-8,
    torch.float16: 16 * 2**-11,
}
# An equilibrium is found within tol / (1 - contraction), five times the tolerance, and so is its
# adjoint, whose right hand side has an error of that size already.
OF_EQUILIBRIA = {torch.float64: 1e-9, torch.float32: 2e-4}


# Hooks ######################################################################################


class Log(defaultdict):
    """What hooks were told, by their name, in turn."""

    def __init__(self, keeps_values):
        super().__init__(list)
        self.keeps_values = keeps_values

    def note(self, name, *values):
        self[name].append(
            [
                value.detach().clone() if self.keeps_values else tuple(value.shape)
                for value in values
                if value is not None
            ]
        )


@contextmanager
def hooked(module, x, names, log):
    """Hooks on the layer, its parameters and ``x``, until the end of the block."""
    with ExitStack() as stack:
        for name in names:
            for handle in register(module, x, name, log):
                if name == "removed":
                    handle.remove()
                else:
                    stack.callback(handle.remove)
        yield


def register(module, x, name, log):
    parameters = [item for item in module.named_parameters() if item[1].requires_grad]

    def note(*values):
        log.note(name, *values)

    match name:
        case "pre":
            yield module.register_forward_pre_hook(lambda _, args: note(*args))
        case "pre changes":
            yield module.register_forward_pre_hook(lambda _, args: (0.5 * args[0],))
        case "forward":
            yield module.register_forward_hook(lambda _, args, output: note(*args, output))
        case "forward changes":
            yield module.register_forward_hook(lambda *told: told[-1] + 0.5)
        case "forward with keywords":
            yield module.register_forward_hook(
                lambda _, args, __, output: note(*args, output), with_kwargs=True, prepend=True
            )
        case "instance":
            forward = module.forward
            module.forward = lambda *args: 2 * forward(*args)
            yield Restored(module)
        case "global":
            yield nn.modules.module.register_module_forward_hook(
                lambda of, args, output: (
                    note(*args, output) if isinstance(of, SynchronousGraph | DenseGraph) else None
                )
            )
        case "backward":
            yield module.register_full_backward_hook(lambda _, ins, outs: note(*ins, *outs))
        case "backward changes":
            yield module.register_full_backward_hook(
                lambda _, ins, __: tuple(None if one is None else 2 * one for one in ins)
            )
        case "backward pre":
            yield module.register_full_backward_pre_hook(lambda _, outs: note(*outs))
        case "backward pre changes":
            yield module.register_full_backward_pre_hook(lambda _, outs: (0.5 * outs[0],))
        case "input" if x.requires_grad:
            yield x.register_hook(note)
        case "output":
            yield module.register_forward_hook(
                lambda _, __, output: (
                    output.register_hook(note) and None if output.requires_grad else None
                )
            )
        case "parameter":
            for of, parameter in parameters:
                yield parameter.register_hook(lambda grad, of=of: log.note(f"{name} {of}", grad))
        case "parameter changes":
            for _, parameter in parameters:
                yield parameter.register_hook(lambda grad: 3 * grad)
        case "accumulated":
            for of, parameter in parameters:
                yield parameter.register_post_accumulate_grad_hook(
                    lambda told, of=of: log.note(f"{name} {of}", told.grad)
                )
        case "update":
            for _, parameter in parameters:
                yield parameter.register_post_accumulate_grad_hook(update)
        case "removed":
            for other in (
                "pre changes",
                "forward changes",
                "backward changes",
                "parameter changes",
            ):
                yield from register(module, x, other, log)


@torch.no_grad()
def update(parameter):
    """A step of an optimizer in the backward pass."""
    parameter -= 0.1 * parameter.grad


class Restored:
    def __init__(self, module):
        self.module = module

    def remove(self):
        del self.module.__dict__["forward"]


# Wrappers ###################################################################################


def copied(model, wrapper):
    """The model that is used in the place of ``model``."""
    if wrapper == "deepcopy":
        return copy.deepcopy(model)
    if wrapper == "pickle":
        file = io.BytesIO()
        torch.save(model, file)
        return torch.load(io.BytesIO(file.getvalue()), weights_only=False)
    if wrapper == "averaged":
        averaged = AveragedModel(model)
        averaged.update_parameters(model)
        return averaged.module
    if wrapper == "double":
        return model.double()
    if wrapper == "state_dict":
        state, other = model.state_dict(), copy.deepcopy(model)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.zero_()
        other.load_state_dict(state)
        return other
    return model


def called(model, x, situation):
    """The outputs, in one of the ways to call a module."""
    wrapper = situation.wrapper
    if wrapper == "checkpoint":
        return checkpoint(model, x, use_reentrant=False, early_stop=False)
    if wrapper == "reentrant":
        return checkpoint(model, x, use_reentrant=True)
    if wrapper == "functional_call":
        parameters = {name: 0.9 * value for name, value in model.named_parameters()}
        return torch.func.functional_call(model, parameters, (x,))
    if wrapper == "vmap":
        return torch.func.vmap(model, randomness="same")(x)
    if wrapper == "sequential":
        return around(model, x)(x)
    if wrapper == "twice":
        return model(x) + 2 * model(0.5 * x)
    if wrapper == "saved tensors":
        with torch.autograd.graph.saved_tensors_hooks(lambda kept: kept.clone(), lambda kept: kept):
            return model(x)
    if wrapper == "default device":
        with torch.device("meta"):
            return model(x)
    if wrapper in COMPILED and isinstance(model, SynchronousGraph | ModularGraph):
        torch._dynamo.reset()
        return torch.compile(model, backend=wrapper)(x)
    return model(x)


def use(model, situation):
    """All that can be seen of one forward and one backward pass of ``model``."""
    torch.manual_seed(situation.seed)
    layer = inner(model)
    x = inputs(situation, layer.graph.num_inputs)
    used = copied(model, situation.wrapper)
    if situation.wrapper == "double":
        x = x.detach().double().requires_grad_(x.requires_grad)
    is_seen = situation.device != "meta" and situation.wrapper not in (*TRANSFORMED, *COMPILED)
    log = Log(keeps_values=is_seen)
    with hooked(inner(used), x, situation.hooks, log):
        found = passed(used, x, situation)
    found |= {
        f"hook {name}, {n}, {k}": value
        for name, calls in log.items()
        for n, values in enumerate(calls)
        for k, value in enumerate(values)
    }
    return found


def passed(model, x, situation):
    wrapper, is_cast = situation.wrapper, bool(situation.autocast) and situation.device != "meta"
    grad_mode = {"no_grad": torch.no_grad, "inference_mode": torch.inference_mode}
    with ExitStack() as stack:
        if is_cast:
            stack.enter_context(torch.autocast(situation.device, situation.autocast))
        stack.enter_context(grad_mode.get(wrapper, nullcontext)())
        if wrapper == "anomaly":
            stack.enter_context(torch.autograd.detect_anomaly())
        if wrapper == "deterministic":
            stack.enter_context(deterministic())
        if wrapper == "forward mode":
            with forward_ad.dual_level():
                dual = forward_ad.unpack_dual(model(forward_ad.make_dual(x, torch.ones_like(x))))
            return {"outputs": dual.primal, "tangents": dual.tangent}
        if wrapper == "gradient by torch.func":
            return torch.func.grad(
                lambda given: loss_of(torch.func.functional_call(model, given, (x,)))
            )(dict(model.named_parameters()))
        outputs = called(model, x, situation)
        found = {"outputs": outputs}
        if not situation.backward_inside:
            stack.close()
        if outputs.requires_grad:
            found |= gradients(model, x, loss_of(outputs), wrapper)
    found["gradient of the input"] = x.grad
    found |= dict(model.named_parameters())
    found |= {f"gradient of {name}": value.grad for name, value in model.named_parameters()}
    found |= {name: value for name, value in model.named_buffers() if name.endswith("calls")}
    return found


def gradients(model, x, loss, wrapper):
    """What a backward pass returns, if it does not accumulate."""
    if wrapper == "input alone" and x.requires_grad:
        return {"input alone": torch.autograd.grad(loss, x)[0]}
    found = {}
    if wrapper == "second derivative":
        leaves = [leaf for leaf in (x, *model.parameters()) if leaf.requires_grad]
        grads = torch.autograd.grad(loss, leaves, create_graph=True, allow_unused=True)
        found = {f"first {number}": grad for number, grad in enumerate(grads)}
        loss = sum(loss_of(grad) for grad in grads if grad is not None)
        if not loss.requires_grad:
            return found
    if wrapper == "two backward passes":
        loss.backward(retain_graph=True)
    loss.backward()
    return found


@contextmanager
def deterministic():
    """Torch fills memory that it does not initialise with NaN."""
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def loss_of(outputs):
    return (outputs.square() / 2 + outputs).sum()


def around(model, x):
    """The model between two layers of torch."""
    graph = inner(model).graph
    before = nn.Linear(graph.num_inputs, graph.num_inputs)
    after = nn.Linear(graph.num_outputs, 3)
    return nn.Sequential(before, model, after).to(x)


# The comparison #############################################################################


def differences(situation, found, expected):
    """What is not as it has to be, line by line."""
    tolerance = ROUNDING[situation.dtype]
    if isinstance(situation.solver, Equilibrium):
        tolerance = OF_EQUILIBRIA[situation.dtype]
    # Layers of torch, and the gradients of products that autocast sees, are in half precision.
    is_half = situation.wrapper in ("sequential", "gradient by torch.func")
    if situation.autocast and (is_half or situation.backward_inside):
        tolerance = max(tolerance, ROUNDING[situation.autocast])
    for name in sorted(found.keys() | expected.keys()):
        left, right = found.get(name), expected.get(name)
        if left is None or right is None:
            if left is not right and not is_zero(left) and not is_zero(right):
                yield f"{name}: {left} instead of {right}"
        elif not isinstance(left, torch.Tensor):
            if left != right:
                yield f"{name}: {left} instead of {right}"
        elif (left.shape, left.dtype, left.device) != (right.shape, right.dtype, right.device):
            yield f"{name}: {left} instead of {right}"
        elif left.device.type != "meta" and right.numel():
            largest = max(1.0, float(right.abs().max()))
            error = float((left.double() - right.double()).abs().max()) / largest
            if not error <= tolerance:
                yield f"{name}: {left} instead of {right}, {error:.1e} > {tolerance:.1e}"


def is_zero(value):
    return isinstance(value, torch.Tensor) and value.device.type != "meta" and not value.any()


def fault(seed, device):
    """What is wrong in situation ``seed``; an empty string if nothing is."""
    situation = draw(seed, device)
    try:
        model, reference = build(situation)
        found, expected = use(model, situation), use(reference, situation)
    except Exception as error:
        if any(re.match(message, str(error)) for message in refusals(situation)):
            return ""
        return f"{situation}\n{traceback.format_exc()}"
    lines = list(differences(situation, found, expected))
    return "\n  ".join([str(situation), *lines]) if lines else ""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "cuda",
            marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
        ),
    ],
)
@pytest.mark.parametrize("first", range(0, NUM_SITUATIONS, CHUNK))
def test_a_layer_is_used_as_a_dense_module_is(first, device):
    faults = [fault(seed, device) for seed in range(first, first + CHUNK)]
    assert not any(faults), "\n\n".join(filter(None, faults))
