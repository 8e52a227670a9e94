"""Code in model cards that loads and uses a model."""

from euromine.modeling.auto import list_models
from euromine.modeling.tasks import CHANGE_DETECTION, SERIES
from euromine.support.run_records import RunResults

from .component_cards import component_usage

_USAGE = """\
import numpy as np
import torch
import euromine.modeling.auto  # registers the networks; without the package: trust_remote_code=True below
from transformers import AutoImageProcessor, {auto_class}

image_processor = AutoImageProcessor.from_pretrained("{name}")
model = {auto_class}.from_pretrained("{name}").eval()

{example}"""
_SEGMENTATION_EXAMPLE = """\
image = np.zeros((10, 160, 160), np.int16)  # ten bands in EuroMineNet's order, any height and width
with torch.no_grad():
    outputs = model(**image_processor(image, return_tensors="pt"))
footprint = image_processor.post_process_semantic_segmentation(outputs, [image.shape[-2:]])[0]"""
_CHANGE_EXAMPLE = """\
years = np.zeros((10, 10, 160, 160), np.int16)  # ten years of ten bands, in EuroMineNet's order
series = image_processor(years[None], return_tensors="pt").pixel_values
with torch.no_grad():
    logits = model.predict_series(series)  # all 45 pairs of years, each year encoded once
change = logits.argmax(2)[0]  # (45, 160, 160): 0 no change, 1 change"""
_SERIES_EXAMPLE = """\
images = np.zeros((10, 10, 160, 160), np.int16)  # ten years of ten bands, in EuroMineNet's order
years = torch.arange(2015, 2025)[None]  # any years, ascending
series = image_processor(images[None], return_tensors="pt").pixel_values
with torch.no_grad():
    footprints = model(series, years=years).logits.argmax(2)[0]  # (10, 160, 160): 0 background, 1 mine
    changes = model.predict_series(series, years=years).argmax(2)[0]  # (45, 160, 160), all pairs of years"""


def usage(results: RunResults) -> str:
    """Code that loads and uses the model."""
    if results.protocol.label_groups:
        auto_class, example = component_usage(results)
    elif results.architecture in list_models(SERIES):
        auto_class, example = "AutoModel", _SERIES_EXAMPLE
    elif results.task == CHANGE_DETECTION:
        auto_class, example = "AutoModel", _CHANGE_EXAMPLE
    else:
        auto_class, example = "AutoModelForSemanticSegmentation", _SEGMENTATION_EXAMPLE
    name = results.model.repository or results.model.folder
    return _USAGE.format(name=name, auto_class=auto_class, example=example)
