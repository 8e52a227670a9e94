"""Settings of a process that must stand before it starts."""

# glibc hands large blocks back to the system and takes them anew in every step, which costs a training on
# CPU a third of its time. Other systems do not know these.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(4 << 30), "MALLOC_TRIM_THRESHOLD_": str(8 << 30)}
