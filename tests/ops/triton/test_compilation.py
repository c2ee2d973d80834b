import os
import subprocess
import sys
from pathlib import Path


def test_every_kernel_compiles_without_a_device_and_has_no_atomics(tmp_path):
    # In a process of its own: where kernels are interpreted, they are not compiled.
    environment = {name: of for name, of in os.environ.items() if name != "TRITON_INTERPRET"}
    environment |= {"TRITON_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    program = Path(__file__).with_name("compile_kernels.py")
    run = subprocess.run(
        [sys.executable, str(program)], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    names = ["gather", "gather", "join", "sample", "unroll", "unroll_backward"]
    assert run.stdout.splitlines() == [f"{name} False" for name in names]
