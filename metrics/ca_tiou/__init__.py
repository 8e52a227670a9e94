"""CA-TIoU: do predicted footprints agree where the ground did not change?"""
