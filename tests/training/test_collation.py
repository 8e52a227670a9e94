import numpy as np
import pytest
import torch

from euromine.dataset_script.patches import owned_mask, patch_grid
from euromine.training.collation import SeriesCollator, augmented, turned, without_unowned


def eight_ways(image: np.ndarray) -> list[bytes]:
    """The eight ways to lay a square, by NumPy."""
    return [np.rot90(each, quarter).tobytes() for each in (image, image[:, ::-1]) for quarter in range(4)]


def test_annual_rows_and_pairs_travel_as_integers():
    generator = np.random.default_rng(0)
    images = generator.integers(-5, 9000, (3, 2, 10, 8, 8), np.int16)
    masks = generator.integers(0, 2, (3, 8, 8)).astype(np.uint8)
    collator = SeriesCollator()
    annual = collator([{"image": image[0], "label": mask} for image, mask in zip(images, masks, strict=True)])
    assert annual["pixel_values"].dtype == torch.int16
    assert annual["labels"].dtype == torch.uint8
    np.testing.assert_array_equal(annual["pixel_values"], images[:, 0])
    pairs = collator([{"images": image, "change": mask} for image, mask in zip(images, masks, strict=True)])
    np.testing.assert_array_equal(pairs["pixel_values"], images)
    np.testing.assert_array_equal(pairs["labels"], masks)


def test_stacked_batches_are_collated_as_their_rows_are():
    generator = np.random.default_rng(0)
    images = generator.integers(1, 9000, (3, 10, 8, 8), np.int16)
    labels = generator.integers(0, 2, (3, 8, 8)).astype(np.uint8)
    images[1, :, :, :3], labels[1, :, :3] = 0, 255  # without data
    rows = [{"image": image, "label": label} for image, label in zip(images, labels, strict=True)]
    expected = SeriesCollator()(rows)
    found = SeriesCollator()({"image": images, "label": labels})
    assert found["pixel_values"][1].any(dim=0).all()
    for name in ("pixel_values", "labels"):
        assert torch.equal(found[name], expected[name])


def test_no_batch_shows_pixels_without_data():
    images = np.random.default_rng(0).integers(1, 9000, (2, 3, 10, 8, 8)).astype(np.int16)
    labels = np.zeros((2, 3, 8, 8), np.uint8)
    images[1, 2, :, :4], labels[1, 2, :4] = 0, 255
    rows = [
        {
            "images": image,
            "labels": label,
            "own": [0, 0, 8, 8],
            "site": "Spain_1",
            "years": [2015, 2016, 2017],
        }
        for image, label in zip(images, labels, strict=True)
    ]
    expected = images[1, 2].copy()
    expected[:, :4] = expected[:, 4:5]
    collator = SeriesCollator()
    np.testing.assert_array_equal(collator(rows)["pixel_values"][1, 2], expected)
    annual = collator([{"image": row["images"][2], "label": row["labels"][2]} for row in rows])
    np.testing.assert_array_equal(annual["pixel_values"], [images[0, 2], expected])
    pairs = collator([{"images": row["images"][1:], "change": row["labels"][2]} for row in rows])
    np.testing.assert_array_equal(pairs["pixel_values"][1], [images[1, 1], expected])
    assert not images[1, 2, :, :4].any()


def test_short_series_are_filled_up_with_years_that_no_score_sees():
    rows = [
        {
            "images": np.full((years, 10, 8, 8), years, np.int16),
            "labels": np.ones((years, 8, 8), np.uint8),
            "own": [0, 0, 8, 8],
            "site": site,
            "years": list(range(2015, 2015 + years)),
        }
        for years, site in ((2, "Spain_1"), (3, "Italy_1"))
    ]
    batch = SeriesCollator(["Italy_1", "Spain_1"], years=4)(rows)
    assert batch["pixel_values"].shape == (2, 4, 10, 8, 8)
    assert batch["years"].tolist() == [[2015, 2016, -1, -1], [2015, 2016, 2017, -1]]
    assert batch["site"].tolist() == [1, 0]
    assert (batch["labels"][0, 2:] == 255).all()
    assert (batch["labels"][0, :2] == 1).all()
    assert (batch["pixel_values"][1, :3] == 3).all()


def test_the_eight_turns_are_those_of_a_square():
    image = np.arange(25).reshape(5, 5)
    found = [turned(torch.from_numpy(image), turn).numpy().tobytes() for turn in range(8)]
    assert sorted(found) == sorted(eight_ways(image))
    assert len(set(found)) == 8


def test_both_dates_all_bands_and_the_labels_are_turned_alike():
    place = torch.arange(36, dtype=torch.int16).reshape(6, 6)
    pairs = place.expand(64, 2, 10, 6, 6).clone()
    labels = place.to(torch.uint8).expand(64, 6, 6).clone()
    torch.manual_seed(0)
    images, masks = augmented(pairs, labels)
    assert images.dtype == torch.int16
    assert torch.equal(images, masks[:, None, None].expand_as(images).to(torch.int16))
    # Of 64 samples every one of the eight ways is drawn.
    assert len({mask.numpy().tobytes() for mask in masks}) == 8


def test_the_pairs_of_several_patches_name_their_images_among_all():
    generator = np.random.default_rng(0)
    rows = [
        {
            "images": generator.integers(0, 9000, (years, 10, 6, 6), np.int16),
            "pairs": np.array(pairs),
            "changes": np.full((len(pairs), 6, 6), years, np.uint8),
        }
        for years, pairs in ((3, [[0, 1], [1, 2]]), (2, [[0, 1]]), (4, [[0, 3], [1, 3], [2, 3]]))
    ]
    batch = SeriesCollator()(rows)
    assert (batch["pixel_values"].dtype, batch["labels"].dtype) == (torch.int16, torch.uint8)
    assert batch["pairs"].tolist() == [[0, 1], [1, 2], [3, 4], [5, 8], [6, 8], [7, 8]]
    assert batch["patches"].tolist() == [0, 0, 0, 1, 1, 2, 2, 2, 2]
    assert batch["labels"][:, 0, 0].tolist() == [3, 3, 2, 4, 4, 4]
    found = batch["pixel_values"][batch["pairs"]]
    expected = [row["images"][pair] for row in rows for pair in row["pairs"]]
    np.testing.assert_array_equal(found, np.stack(expected))


def test_all_years_of_a_patch_and_all_its_changes_are_turned_alike():
    place = torch.arange(36, dtype=torch.int16).reshape(6, 6)
    patches = torch.arange(64).repeat_interleave(3)
    pairs = torch.cat([3 * torch.arange(64)[:, None] + torch.tensor(ends) for ends in ([0, 2], [2, 1])])
    torch.manual_seed(0)
    images, masks = augmented(
        place.expand(192, 10, 6, 6), place.to(torch.uint8).expand(128, 6, 6), pairs, patches
    )
    by_patch = images.unflatten(0, (64, 3))[:, :, 0]
    assert torch.equal(by_patch, by_patch[:, :1].expand_as(by_patch))
    assert torch.equal(masks.to(torch.int16), by_patch[:, 0].repeat(2, 1, 1))
    assert len({mask.numpy().tobytes() for mask in masks}) == 8


@pytest.mark.parametrize("size", [(100, 90), (160, 200), (333, 170)])
def test_pixels_that_a_patch_does_not_own_become_255(size):
    patches = patch_grid(*size)
    maps = torch.ones(len(patches), 3, 160, 160, dtype=torch.uint8)
    own = torch.tensor([patch.own for patch in patches])
    found = without_unowned(maps, own)
    for each, patch in zip(found, patches, strict=True):
        expected = np.where(owned_mask(patch.own), 1, 255)
        for year in each:
            np.testing.assert_array_equal(year, expected)
    assert (maps == 1).all()


def test_whole_patches_are_scored_where_that_is_asked_for():
    row = {
        "images": np.zeros((2, 10, 8, 9), np.int16),
        "labels": np.ones((2, 8, 9), np.uint8),
        "own": [2, 3, 8, 9],
        "site": "Spain_1",
        "years": [2015, 2016],
    }
    assert SeriesCollator(["Spain_1"], 2)([row])["own"].tolist() == [[2, 3, 8, 9]]
    assert SeriesCollator(["Spain_1"], 2, whole_patches=True)([row])["own"].tolist() == [[0, 0, 8, 9]]
