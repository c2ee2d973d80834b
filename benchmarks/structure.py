"""Size, order and depth of the package: ``python -m benchmarks.structure``.

``--package DIR`` measures another checkout, by the order of the rooms of this one.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any
from unittest.mock import patch

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).with_suffix(".json")

_BACKENDS = ("dense", "sparse", "numba")
# In a process of its own, where a checkout is the folder that names are imported from.
_MEASURE = "import json, runpy, sys; print(json.dumps(runpy.run_path(sys.argv[1])['measure']()))"


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.structure", description=__doc__)
    parser.add_argument("--package", type=Path, default=ROOT, help="a checkout (default: this one)")
    parser.add_argument(
        "--out", type=Path, nargs="?", const=RESULTS, help=f"write JSON ({RESULTS.name})"
    )
    options = parser.parse_args(arguments)
    if not (options.package / "pyg_modules").is_dir():
        parser.error(f"Expected --package to hold pyg_modules/ (got {options.package}).")
    command = [sys.executable, "-c", _MEASURE, str(Path(__file__).resolve())]
    ran = subprocess.run(command, cwd=options.package, capture_output=True, text=True)
    if ran.returncode:
        raise RuntimeError(ran.stderr)
    results = json.loads(ran.stdout.splitlines()[-1])
    text = json.dumps(results, indent=2)
    if options.out is not None:
        options.out.write_text(f"{text}\n", encoding="utf-8")
    print(text)


def measure() -> dict[str, Any]:
    """The figures of the package that is imported from the current folder."""
    package = Path("pyg_modules")
    files = list(package.rglob("*.py"))
    imports = list(_imports())
    return {
        "lines": sum(path.read_bytes().count(b"\n") for path in files),
        "files": len(files),
        "files_in_room": {
            room.name: len(list(room.rglob("*.py")))
            for room in sorted(package.iterdir())
            if (room / "__init__.py").exists()
        },
        "climbing_imports": climbing_imports(imports),
        "circles": circles(imports),
        "frames_to_the_kernel": {
            backend: {
                "without gradients": frames_to_the_kernel(backend, gradients=False),
                "with gradients": frames_to_the_kernel(backend, gradients=True),
            }
            for backend in _BACKENDS
        },
    }


def frames_to_the_kernel(backend: str, *, gradients: bool) -> int:
    """Python frames from the call of an unrolled layer to that of the deepest kernel.

    Counted are those that run below the caller of ``layer(x)``: the two of ``torch.nn.Module``
    first, the one that calls the kernel last.
    """
    import torch

    from pyg_modules import SynchronousGraph, UnitGraph, Unrolled

    graph = UnitGraph.complete(num_inputs=8, num_hidden=32, num_outputs=4)
    layer = SynchronousGraph(graph, Unrolled(steps=4), "tanh", backend=backend)
    x = torch.zeros(16, 8)
    depths: list[int] = []
    with torch.set_grad_enabled(gradients):
        layer(x)  # Compiles kernels and prepares what is kept.
        here = _depth()
        with _watched_kernels(backend, lambda: depths.append(_depth() - here - 2)):
            layer(x)
    if not depths:
        raise RuntimeError(f"Expected a call of a kernel of {backend!r} (got none).")
    return max(depths)


def circles(imports: list[tuple[str, str]]) -> list[list[str]]:
    """Sets of files of which each imports every other, directly or not."""
    import networkx

    components = networkx.strongly_connected_components(networkx.DiGraph(imports))
    return sorted(sorted(files) for files in components if len(files) > 1)


def climbing_imports(imports: list[tuple[str, str]]) -> list[str]:
    """Imports from rooms that stand no lower than the one that imports."""
    from importlinter.api import read_configuration

    contracts = read_configuration(str(ROOT / "pyproject.toml"))["contracts_options"]
    layers = next(it["layers"] for it in contracts if it["type"] == "layers")
    levels = {room: level for level, line in enumerate(layers) for room in re.findall(r"\w+", line)}

    def climbs(*files: str) -> bool:
        rooms = [file.split(".")[1] for file in files if "." in file]
        return len(set(rooms)) == 2 and levels[rooms[1]] <= levels[rooms[0]]

    return sorted(" -> ".join(pair) for pair in imports if climbs(*pair))


@contextmanager
def _watched_kernels(backend: str, note: Callable[[], None]) -> Iterator[None]:
    """Call ``note`` in a frame of its own whenever a kernel is called."""
    import torch

    kernels: list[tuple[Any, str]] = [(torch, name) for name in ("mm", "addmm")]
    if backend == "numba":
        from numba.core.registry import CPUDispatcher

        kernels = [
            (module, name)
            for module in list(sys.modules.values())
            if module.__name__.startswith("pyg_modules.")
            for name, value in vars(module).items()
            if isinstance(value, CPUDispatcher)
        ]

    def call(kernel: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        note()
        return kernel(*args, **kwargs)

    with ExitStack() as stack:
        for owner, name in kernels:
            watched = partial(call, getattr(owner, name))
            stack.enter_context(patch.object(owner, name, watched))
        yield


def _depth() -> int:
    """Frames below the one that asks, itself included."""
    frame: FrameType | None = sys._getframe(1)
    depth = 0
    while frame is not None:
        frame, depth = frame.f_back, depth + 1
    return depth


def _imports() -> Iterator[tuple[str, str]]:
    """Pairs of files, the second imported by the first, also for its types alone."""
    import grimp

    graph = grimp.build_graph("pyg_modules", cache_dir=None)
    for file in graph.modules:
        for imported in graph.find_modules_directly_imported_by(file):
            yield file, imported


if __name__ == "__main__":
    main()
