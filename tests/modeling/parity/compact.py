"""Makes the compact copies of the parity files that the tests read: facts on the published networks.

    python tests/modeling/parity/compact.py [../shared/parity]

The full files hold every output pixel and every leaf call of 25 networks, 15 MB. A copy keeps what decides
whether a network of ours is right: the published tensors (name, shape, how a probe fills them, whether they
reach an output) and, of each probe's output, a few hundred values spread over all rows and columns, with
the tolerance that the rounding of the reference itself allows.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

COPIES = Path(__file__).parent
POINTS = 400
# None shares a factor with a side, so that every n-th value of a flattened map meets all rows and columns.
STEPS = (1, 3, 11, 23, 131)
# The segmenters' files name the fill rules otherwise.
SEGMENTATION_RULES = {"weight": "normal", "bias": "normal", "untouched_int": "untouched"}
# Author's outputs are kept where they are not the benchmark's.
AUTHORS_DIFFER = ("SNUNet",)


def name_of(published: str) -> str:
    """The published network's name in ours: SiamUnet_Conc -> siamunet-conc."""
    return published.removeprefix("eurominenet_").lower().replace("_", "-")


def sampled(output: NDArray[np.float32]) -> tuple[int, NDArray[np.float32]]:
    """A step and every step-th value of a flattened output, about POINTS of them."""
    step = next(step for step in STEPS if output.size / step <= POINTS)
    return step, output.ravel()[::step]


def end_of(meaning: str) -> str:
    """What the published network applies to its logits: logits (nothing), sigmoid or log-softmax."""
    return next(end for end in ("logits", "sigmoid", "log-softmax") if meaning.lower().startswith(end))


def shape_text(shape: list[int]) -> str:
    """48x3x3x3, or scalar."""
    return "x".join(map(str, shape)) or "scalar"


def tensor_line(key: str, shape: list[int], rule: str, is_unused: bool = False) -> str:
    """One published tensor as a line: key, shape, rule and, if no output sees it, `unused`."""
    return f"{key} {shape_text(shape)} {rule}" + " unused" * is_unused


def compact_change_detector(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[np.float32]]]:
    """The facts and the sampled outputs of a change detector."""
    facts = json.loads(path.read_text())
    outputs = np.load(path.with_suffix(".npz"))
    three, ten = facts["variants"]["in3"], facts["variants"]["in10"]
    unused = set(facts["parameters_not_reached_from_any_output"])
    tags = dict(facts["probes"])
    if facts["name"] in AUTHORS_DIFFER:
        tags["author_in3_64_fanin"] = facts["probes"]["in3_64_fanin"]
    probes: dict[str, Any] = {}
    arrays: dict[str, NDArray[np.float32]] = {}
    for tag, probe in tags.items():
        probes[tag] = {
            "bands": probe["in_channels"],
            "size": probe["input_size"],
            "factor": probe["factor"],
            "gain": probe["fan_in_gain"],
            "outputs": {},
        }
        for name, statistics in probe["outputs"].items():
            output = outputs["author_in3_64_fanin/0" if tag.startswith("author") else f"{tag}/{name}"]
            step, values = sampled(output)
            arrays[f"{tag}/{name}"] = values
            probes[tag]["outputs"][name] = {
                "end": end_of(facts["outputs_meaning"][name]),
                "channels": statistics["shape"][1],
                "thinned": statistics["shape"][-1] // output.shape[-1],
                "step": step,
                "tolerance": max(
                    20 * statistics["max_abs_f32_minus_f64"],
                    1e-5 * (statistics["max"] - statistics["min"]),
                ),
            }
    copy = {
        "published": facts["name"],
        "source": {
            key: facts["reference"][key] for key in ("repo", "commit", "file", "constructor_arguments")
        },
        "task": "change-detection",
        "parameters": {"3": three["total_parameters"], "10": ten["total_parameters"]},
        "flops_256_3_bands": facts["flops_256_in3_total"],
        "ten_band_shapes": {each["key"]: shape_text(each["shape"]) for each in ten["differs_from_in3"]},
        "probes": probes,
        "tensors": [
            tensor_line(each["key"], each["shape"], each["rule"], each["key"] in unused)
            for each in three["state_dict"]
        ],
    }
    return copy, arrays


def compact_segmenter(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[np.float32]]]:
    """The facts and the sampled outputs of a segmenter, whose tensors are given for ten bands."""
    facts = json.loads(path.read_text())
    outputs = np.load(path.with_suffix(".npz"))
    probes: dict[str, Any] = {}
    arrays: dict[str, NDArray[np.float32]] = {}
    for bands, key in ((3, "y_3ch"), (10, "y")):
        output = outputs[key]
        step, values = sampled(output)
        tag = f"in{bands}_160_std"
        arrays[f"{tag}/main_predictions"] = values
        probes[tag] = {
            "bands": bands,
            "size": 160,
            "factor": 0.05,
            "gain": None,
            "outputs": {
                "main_predictions": {
                    "end": "logits",
                    "channels": output.shape[1],
                    "thinned": 1,
                    "step": step,
                    "tolerance": 2e-5 * float(np.abs(output).max()),
                }
            },
        }
    stem, ten_band_shape = facts["first_conv_key"], facts["first_conv_shape_10ch"]
    copy = {
        "published": facts["name"],
        "source": {
            "repo": f"github:{facts['repo']}",
            "commit": facts["commit"],
            "file": facts["file"],
            "constructor_arguments": facts["constructor"],
        },
        "task": "segmentation",
        "parameters": {"3": facts["params_3ch_2cls"], "10": facts["params_10ch_2cls"]},
        "flops_256_3_bands": None,
        "ten_band_shapes": {stem: shape_text(ten_band_shape)},
        "probes": probes,
        "tensors": [
            tensor_line(
                key,
                [shape[0], 3, *shape[2:]] if key == stem else shape,
                SEGMENTATION_RULES.get(rule, rule),
            )
            for key, shape, _, rule in facts["state_dict_10ch"]
        ],
    }
    return copy, arrays


def write_copies(parity: Path, target: Path) -> None:
    """Write a .json and a .npz into `target` for each network of the folder `parity`."""
    change_detectors = sorted(parity.glob("change_detection/*.npz"))
    segmenters = sorted(parity.glob("segmentation/*.npz"))
    if not change_detectors or not segmenters:
        raise ValueError(f"{parity} holds no change_detection/*.npz and segmentation/*.npz to copy from")
    for paths, compact in ((change_detectors, compact_change_detector), (segmenters, compact_segmenter)):
        for path in paths:
            copy, arrays = compact(path.with_suffix(".json"))
            name = name_of(path.stem)
            (target / f"{name}.json").write_text(json.dumps(copy, indent=1) + "\n")
            np.savez_compressed(target / f"{name}.npz", **arrays)


if __name__ == "__main__":
    default = COPIES.parents[3] / "shared" / "parity"
    write_copies(Path(sys.argv[1]) if len(sys.argv) > 1 else default, COPIES)
