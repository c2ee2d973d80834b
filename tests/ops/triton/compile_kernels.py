"""Compiles every kernel for a device that need not be there; run as a program, not interpreted."""

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from pyg_modules.ops.triton import block_kernels, gather_kernels

FLAGS = {
    "CODE": 5,
    "IS_ADJOINT": True,
    "NEEDS_SUMS": True,
    "HAS_ADD": True,
    "HAS_SECOND": True,
    "HAS_GRADIENT": True,
    "ADDS_GRADIENT": True,
    "KEEPS": True,
    "BLOCK": 16,
    "CHUNK": 8,
    "SIZE": 16,
    "FACTOR": triton.language.bfloat16,
    "PRECISION": "tf32x3",
}
IDS = {"segments": "*i64", "long_rows": "*i64", "column": "*i32"}
WIDE = {"partial": "*fp32", "gradient": "*fp32", "gradients": "*fp32"}
COUNTS = (
    *("batch", "num_activated", "first_block", "num_edges"),
    *("width", "steps", "stride", "kept_stride", "num_cells"),
)


def compile_kernel(kernel, **flags):
    names = kernel.arg_names
    constants = {name: value for name, value in (FLAGS | flags).items() if name in names}
    others = IDS | WIDE | dict.fromkeys(COUNTS, "i32") | dict.fromkeys(constants, "constexpr")
    signature = {name: others.get(name, "*bf16") for name in names}
    positions = {(names.index(name),): value for name, value in constants.items()}
    source = ASTSource(fn=kernel, signature=signature, constexprs=positions)
    compiled = triton.compile(source, target=GPUTarget("cuda", 80, 32))
    assert compiled.asm["cubin"]
    print(kernel.__name__, "atom" in compiled.asm["ptx"])


if __name__ == "__main__":
    compile_kernel(gather_kernels.gather)
    compile_kernel(gather_kernels.gather, IS_ADJOINT=False, HAS_GRADIENT=False)
    compile_kernel(gather_kernels.join)
    compile_kernel(gather_kernels.sample)
    compile_kernel(block_kernels.unroll)
    compile_kernel(block_kernels.unroll_backward)
