"""What `train_seg.py` and `train_cd.py` share."""
