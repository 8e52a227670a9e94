"""Training reads shards alone: it works on a machine without rasterio."""

import subprocess
import sys

CODE = """
import sys
sys.modules["rasterio"] = None  # an import of it fails
from transformers import TrainingArguments
import euromine.train_cd, euromine.train_seg
from euromine.training.arguments import ChangeDetectionArguments
from euromine.training.collation import SeriesCollator
from euromine.training.data import make_image_processor, read_splits, training_dataset, training_sampler
script = ChangeDetectionArguments(dataset=sys.argv[1], architecture="tinycd", training="series")
splits = read_splits(script, seed=0)
rows = training_dataset(script, splits, TrainingArguments(use_cpu=True))
collator = SeriesCollator(splits.sites, splits.years)
batches = collator([rows[next(iter(training_sampler(script, splits, seed=0)))]]), collator([splits.test[0]])
assert all(make_image_processor(script, splits)(batch["pixel_values"]) for batch in batches)
"""


def test_training_needs_no_rasterio(dataset):
    subprocess.run([sys.executable, "-c", CODE, str(dataset)], check=True)
