"""Tuning of the C library's heap."""

import torch

# Just below glibc's largest block on the heap, 32 MB; a larger one is always mapped.
LARGEST_HEAP_BLOCK = 2**25 - 2**16


def keep_freed_memory() -> None:
    """Let the C library keep up to 64 MB of freed memory for the next map.

    glibc returns memory to the system when more than twice its dynamic mmap threshold is free. Getting it
    back, page by page and zeroed, takes half of a light decoder's time. Freeing one large mapped block, whose
    pages are never touched, raises that threshold (mallopt(3), M_MMAP_THRESHOLD). Other allocators are
    unaffected.
    """
    torch.empty(LARGEST_HEAP_BLOCK, dtype=torch.uint8, device="cpu")
