"""Environment variables that have to be set before a process starts."""

# glibc returns large blocks to the system and allocates them again in every step, which costs training on a
# CPU a third of its time. Other C libraries ignore these.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(4 << 30), "MALLOC_TRIM_THRESHOLD_": str(8 << 30)}
