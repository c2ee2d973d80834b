import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from pyg_modules import SynchronousGraph, UnitGraph, Unrolled
from pyg_modules.ops.numba import numba_operator, threads
from tests.processes import exit_of_fresh
from tests.strategies import generator

pytest.importorskip("numba")

ACTIVATIONS = ["relu", "tanh", "sigmoid", "gelu", "identity"]
HAS_FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def new_layer(backend="numba", activation="tanh"):
    # Sparse and large enough that "auto" takes numba, and that numba takes several threads.
    graph = UnitGraph.erdos_renyi(8, 600, 4, 0.05, generator=generator(0))
    return SynchronousGraph(graph, Unrolled(3), activation, backend=backend, generator=generator(1))


def outputs_and_gradients(layer):
    x = torch.randn(16, 8, generator=generator(2)).requires_grad_()
    outputs = layer(x)
    gradients = torch.autograd.grad(outputs.square().sum(), [x, layer.weight, layer.bias])
    return [outputs.detach(), *gradients]


def all_equal(some, others):
    return all(torch.equal(one, other) for one, other in zip(some, others, strict=True))


class Computed(Dataset):
    def __init__(self, layer):
        self.layer = layer

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return [part.clone() for part in outputs_and_gradients(self.layer)]


@HAS_FORK
@pytest.mark.parametrize("num_workers", [1, 2])
@pytest.mark.parametrize("backend", ["numba", "auto"])
def test_workers_of_a_loader_compute_what_their_parent_does(backend, num_workers):
    layer = new_layer(backend)
    assert layer.backend_report(16).choices["recurrence"].backend == "numba"
    expected = outputs_and_gradients(layer)
    loader = DataLoader(
        Computed(layer), None, num_workers=num_workers, multiprocessing_context="fork"
    )
    for _ in range(2):
        computed = list(loader)
        assert len(computed) == 3
        assert all(all_equal(each, expected) for each in computed)
    assert all_equal(outputs_and_gradients(layer), expected)


@HAS_FORK
def test_a_pool_of_forked_processes_computes_what_its_parent_does():
    layer = new_layer()
    expected = outputs_and_gradients(layer)
    # As a DataLoader does in its workers: OpenMP, on which torch runs, does not survive a fork.
    of_worker = {"initializer": torch.set_num_threads, "initargs": (1,)}
    with multiprocessing.get_context("fork").Pool(2, **of_worker) as pool:
        results = pool.map(outputs_and_gradients, [layer, layer, layer])
    assert all(all_equal(each, expected) for each in results)


def exit_status_of_a_child(run):
    child = os.fork()
    if child == 0:
        try:
            torch.set_num_threads(1)
            os._exit(0 if run() else 1)
        except BaseException:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@HAS_FORK
def test_a_grandchild_computes_too():
    layer = new_layer()
    expected = outputs_and_gradients(layer)

    def computes():
        return all_equal(outputs_and_gradients(layer), expected)

    def computes_and_forks():
        return computes() and exit_status_of_a_child(computes) == 0

    assert exit_status_of_a_child(computes_and_forks) == 0


@HAS_FORK
@pytest.mark.parametrize("used_before", [True, False])
def test_threads_that_others_started_are_lost_too(used_before):
    # In a process of its own: numba starts its threads once.
    assert exit_of_fresh(forks_after_the_threads_of_others, used_before) == 0


def forks_after_the_threads_of_others(used_before):
    import numba

    @numba.njit(parallel=True)
    def own(values):
        for i in numba.prange(values.size):
            values[i] += 1.0

    layer = SynchronousGraph(UnitGraph.complete(3, 40, 2), backend="numba")
    if used_before:
        own(torch.zeros(8).numpy())

    def computes():
        layer(torch.ones(5, 3)).sum().backward()
        return threads.can_use_threads() is not used_before

    assert exit_status_of_a_child(computes) == 0


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_kernels_without_threads_compute_the_same_bits(activation, monkeypatch):
    layer = new_layer(activation=activation)
    for dtype in (torch.float32, torch.float64):
        layer = layer.to(dtype)
        with monkeypatch.context() as lost:
            expected = outputs_and_gradients_of(layer, dtype)
            lost.setattr(threads, "_are_lost", True)
            assert numba_operator._kernels() is not numba_operator._compiled()
            assert all_equal(outputs_and_gradients_of(layer, dtype), expected)


def outputs_and_gradients_of(layer, dtype):
    x = torch.randn(16, 8, generator=generator(2)).to(dtype).requires_grad_()
    states = layer.states(x)
    gradients = torch.autograd.grad(states.square().sum(), [x, layer.weight, layer.bias])
    return [states.detach(), *gradients]


def test_a_layer_in_several_threads_computes_what_it_does_in_one():
    layer = new_layer()
    expected = outputs_and_gradients(layer)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: outputs_and_gradients(layer), range(20)))
    assert all(all_equal(each, expected) for each in results)


def test_threads_that_numba_cannot_share_are_for_the_main_thread_alone():
    assert exit_of_fresh(shares_a_layer_on_a_workqueue) == 0


def shares_a_layer_on_a_workqueue():
    import numba

    numba.config.THREADING_LAYER = "workqueue"
    torch.set_num_threads(2)
    layer = SynchronousGraph(UnitGraph.complete(3, 200, 2), backend="numba")
    x = torch.ones(64, 3)
    expected = layer(x)
    assert threads.can_use_threads()
    with ThreadPoolExecutor(4) as pool:
        results = [pool.submit(layer, x) for _ in range(200)]
        own = [layer(x) for _ in range(20)]
        assert not pool.submit(threads.can_use_threads).result()
    assert numba.threading_layer() == "workqueue"
    assert all(torch.equal(result.result(), expected) for result in results)
    assert all(torch.equal(result, expected) for result in own)
