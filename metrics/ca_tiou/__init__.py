"""CA-TIoU: agreement of predicted footprints where the ground did not change."""
