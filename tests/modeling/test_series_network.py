"""What the series network does beyond what every network must do (test_networks.py)."""

import itertools

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import ConvNextConfig, ConvNextModel, SegformerConfig, SegformerModel

from euromine.modeling.change_detection import year_pairs
from euromine.modeling.resnet import ResNet
from euromine.modeling.series_losses import (
    LossWeights,
    footprint_edges,
    pair_weights,
    series_loss,
    soft_dice_loss,
    weighted_cross_entropy,
)
from euromine.modeling.series_model import SeriesModel
from euromine.modeling.series_network import EuroMineSeries, EuroMineSeriesConfig
from euromine.modeling.temporal_chain import ChainPosterior
from euromine.modeling.temporal_layers import NeighbouringYears, YearMixing
from euromine.modeling.utae import UTAE, UTAEConfig

MIT = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 16, 32], "num_attention_heads": [1, 2, 2, 4]}
SMALL = {"encoder_fields": MIT, "decoder_width": 16, "detail_widths": [8, 8, 16], "dropout": 0.0}
SMALL_UTAE = {
    "encoder_widths": [8, 8, 8, 16],
    "decoder_widths": [8, 8, 8, 16],
    "model_width": 16,
    "num_heads": 4,
}
SIZE = (40, 53)


def small_network(**fields: object) -> EuroMineSeries:
    torch.manual_seed(0)
    return EuroMineSeries(EuroMineSeriesConfig(num_channels=3, **{**SMALL, **fields})).eval()


@pytest.fixture(scope="module")
def network(fill_with_signal) -> EuroMineSeries:
    """A small network with weights that let the years see each other."""
    network = small_network()
    fill_with_signal(network)
    return network


@pytest.fixture(scope="module", params=["euromine", "utae"])
def series_model(request, network, fill_with_signal) -> SeriesModel:
    """Each kind of network that sees a whole series."""
    if request.param == "euromine":
        return network
    utae = UTAE(UTAEConfig(num_channels=3, **SMALL_UTAE)).eval()
    fill_with_signal(utae)
    return utae


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(2, 5, 3, *SIZE, generator=torch.Generator().manual_seed(5))


@torch.no_grad()
def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())


@torch.no_grad()
def test_a_missing_year_equals_a_shorter_series(series_model, images):
    images = images.clone()
    mask = torch.tensor([[True, False, True, True, False], [False, True, True, False, True]])
    images[~mask] = torch.nan
    years = torch.tensor([[2015, 2016, 2018, 2019, 2022]] * 2)
    together = series_model(images, years=years, mask=mask, pairs=year_pairs(5))
    for number, present in enumerate(mask):
        kept = present.nonzero().squeeze(1).tolist()
        shorter = series_model(
            images[number : number + 1, kept], years=years[number : number + 1, kept], pairs=year_pairs(3)
        )
        close(together.logits[number, kept], shorter.logits[0])
        pairs = [year_pairs(5).index(pair) for pair in itertools.combinations(kept, 2)]
        close(together.change_logits[number, pairs], shorter.change_logits[0])
    # Before the first image and after the last nothing is known; between two the chain fills in.
    half = torch.tensor(0.5)
    for number, index in ((0, 4), (1, 0)):
        close(together.logits[number, index].exp(), half.expand(2, *SIZE))
    is_known = (together.logits[0, 1].exp() - 0.5).abs().max() > 0.1
    assert is_known == isinstance(series_model, EuroMineSeries)  # U-TAE takes years as independent


@torch.no_grad()
def test_a_graph_gives_the_same_with_missing_years(network, images):
    mask = torch.tensor([[True, False, True, True, True], [True, True, True, False, True]])
    torch._dynamo.reset()
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    close(compiled(images, mask=mask).logits, network(images, mask=mask).logits)


@pytest.mark.parametrize("mask", [None, [[True, False, True, True, True], [True, True, True, False, True]]])
@pytest.mark.parametrize("with_gradients", [False, True])
def test_convolutions_see_maps_whose_channels_lie_innermost(images, mask, with_gradients):
    network = small_network()
    seen: dict[str, bool] = {}

    def note(name: str, maps: Tensor) -> None:
        # A few rows of a map are not contiguous, but their channels lie innermost as well.
        seen[name] = seen.get(name, True) and maps.stride(1) == 1

    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d) and not name.startswith("encoder."):
            module.register_forward_pre_hook(lambda _, inputs, name=name: note(name, inputs[0]))
    with torch.set_grad_enabled(with_gradients):
        network.evidence(images, torch.arange(5).expand(2, 5), None if mask is None else torch.tensor(mask))
    assert len(seen) > 20
    assert [name for name, innermost in seen.items() if not innermost] == []


@torch.no_grad()
def test_at_the_start_each_year_is_mapped_as_a_single_image(images):
    network = small_network()
    years = torch.arange(5).expand(2, 5)
    together = network.evidence(images, years, None).potentials
    for index in range(5):
        alone = network.evidence(images[:, index : index + 1], years[:, :1], None).potentials
        close(together[:, index : index + 1], alone)
        # A chain of one year changes nothing.
        close(network(images[:, index : index + 1]).logits, alone.log_softmax(dim=2))


@torch.no_grad()
def test_a_gap_of_two_years_uses_the_squared_transition(images):
    pair = images[:, :2]
    # Attention would see the gap as well, and give other annual rates.
    frozen = small_network(temporal_attention=False)
    one, two, five = (
        frozen.evidence(pair, torch.tensor([[0, gap]] * 2), None)
        .transitions.double()
        .exp()
        .permute(0, 1, 4, 5, 2, 3)
        for gap in (1, 2, 5)
    )
    torch.testing.assert_close(two, one @ one, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(five, one @ one @ one @ one @ one, rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_each_year_sees_its_neighbours_and_the_means_of_all_others():
    """Against sums year by year, with years that have no image."""
    years, width = 5, 2
    generator = torch.Generator().manual_seed(8)
    mask = torch.tensor([[True, False, True, True, True], [False, True, True, False, True]])
    parts = torch.randn(2, years, len(YearMixing.KINDS), width, 3, 4, generator=generator)
    mixing = YearMixing.of(mask, NeighbouringYears.of(mask))
    found = sum(mixing.joined(kind, parts[:, :, kind]) for kind in range(len(YearMixing.KINDS)))
    for series, year in itertools.product(range(2), range(years)):
        seen = mask[series].nonzero().squeeze(1).tolist()
        earlier, later = [each for each in seen if each < year], [each for each in seen if each > year]
        sight = ([year], earlier[-1:], later[:1], earlier, later, seen)
        expected = torch.zeros(width, 3, 4)
        for kind, others in enumerate(sight):
            for other in others:
                expected += parts[series, other, kind] / len(others)
        close(found[series, year], expected)


@pytest.mark.parametrize("widths", [[], [8], [8, 8]])
@torch.no_grad()
def test_a_branch_of_few_scales_gives_maps_of_the_images_size(widths, images):
    network = small_network(detail_widths=widths)
    assert network(images).logits.shape == (2, 5, 2, *SIZE)


@torch.no_grad()
def test_the_order_of_a_batch_does_not_matter(series_model, images):
    years = torch.tensor([[2015, 2016, 2017, 2018, 2019], [2015, 2017, 2018, 2020, 2024]])
    close(
        series_model(images.flip(0), years=years.flip(0)).logits,
        series_model(images, years=years).logits.flip(0),
    )


@torch.no_grad()
def test_years_count_from_the_first_image(series_model, images):
    years = torch.arange(5).expand(2, 5)
    close(series_model(images, years=years + 2015).logits, series_model(images, years=years).logits)
    later = series_model(images, years=years + years.square()).logits
    assert (later - series_model(images, years=years).logits).abs().max() > 1e-3


@torch.no_grad()
def test_changes_of_a_series_are_those_of_the_forward_pass(series_model, images):
    expected = series_model(images, pairs=[(0, 1), (1, 4), (3, 2)]).change_logits
    close(series_model.predict_series(images, [(0, 1), (1, 4), (3, 2)], chunk=2), expected)
    maps = series_model.predict_series(images, transform=lambda logits: logits.argmax(2))
    assert maps.shape == (2, 10, *SIZE)


@torch.no_grad()
def test_maps_and_changes_never_contradict_each_other(series_model, images):
    footprints = series_model(images).logits.argmax(dim=2)
    changes = series_model.predict_series(images).argmax(dim=2).bool()
    for number, (first, last) in enumerate(year_pairs(5)):
        assert not (changes[:, number] & (footprints[:, first] == footprints[:, last])).any()
    path = series_model.predict_footprints(images)
    assert path.shape == (2, 5, *SIZE)
    assert (path == footprints).float().mean() > 0.5


@torch.no_grad()
def test_without_the_chain_each_year_stands_for_itself(images):
    network = small_network(chain=False)
    evidence = network.evidence(images, torch.arange(5).expand(2, 5), None)
    marginals = evidence.potentials.softmax(dim=2)
    close(network(images).logits.exp(), marginals)
    p, q = marginals[:, 0, 1], marginals[:, 3, 1]
    close(network.predict_series(images, [(0, 3)])[:, 0, 1].exp(), p * (1 - q) + q * (1 - p))


def test_missing_years_do_not_move_batch_norms(images):
    mask = torch.tensor([[True, False, True, True, True], [True, True, True, False, True]])
    statistics = []
    for filler in (0.0, 1e6):
        network = small_network().train()
        network(torch.where(mask[..., None, None, None], images, filler), mask=mask)
        statistics.append(network.decoder.smoothing.norm.running_mean.clone())
    assert torch.equal(*statistics)
    assert statistics[0].any()


def test_training_learns_a_growing_square():
    generator = torch.Generator().manual_seed(0)
    labels = torch.zeros(1, 4, 32, 32, dtype=torch.int64)
    for year in range(4):
        labels[0, year, 4 : 12 + 4 * year, 4:28] = 1
    images = labels.unsqueeze(2) + 0.5 * torch.randn(1, 4, 3, 32, 32, generator=generator)
    network = small_network().train()
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    for _ in range(40):
        optimizer.zero_grad()
        network(images, labels=labels).loss.backward()
        optimizer.step()
    with torch.no_grad():
        maps = network.eval()(images).logits.argmax(dim=2)
    assert (maps == labels).float().mean() > 0.97


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"years": torch.tensor([[2015, 2017, 2016]])},
            r"years: found \[2015, 2017, 2016\]; expected each later",
        ),
        ({"years": torch.tensor([[2015, 2015, 2016]])}, r"years: found \[2015, 2015, 2016\]; expected each"),
        ({"years": torch.tensor([[2015.0, 2016, 2017]])}, "years: found torch.float32; expected torch.int64"),
        ({"years": torch.tensor([2015, 2016, 2017])}, r"years: found the shape \(3,\); expected \(1, 3\)"),
        ({"years": [[2015, 2016, 2017]]}, r"years: found a list; expected a tensor \(1, 3\)"),
        ({"mask": torch.tensor([[False, False, False]])}, "mask: found a series without an image"),
        ({"mask": torch.tensor([[1, 1, 0]])}, "mask: found torch.int64; expected torch.bool"),
        ({"pairs": [(0, 3)]}, r"pairs: found \(0, 3\); expected two indices below 3"),
        ({"pairs": []}, r"pairs: found \[\]; expected at least one pair"),
        ({"labels": torch.zeros(1, 2, 32, 32, dtype=torch.int64)}, "labels: found the shape"),
        ({"labels": torch.full((1, 3, 32, 32), 7)}, r"labels: found \[7\]"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(network, arguments, message):
    with pytest.raises(ValueError, match=message):
        network(torch.zeros(1, 3, 3, 32, 32), **arguments)


def test_images_of_another_shape_are_refused(network):
    for shape, message in (((1, 3, 32, 32), "expected .batch, years"), ((1, 2, 4, 32, 32), "4 channels")):
        with pytest.raises(ValueError, match=message):
            network(torch.zeros(shape))
    with pytest.raises(ValueError, match="chunk: found 0"):
        network.predict_series(torch.zeros(1, 2, 3, 32, 32), chunk=0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"encoder": "mit-b9"}, "encoder: found 'mit-b9'; expected one of mit-b0"),
        ({"encoder_fields": {"deepness": 3}}, "encoder_fields: found deepness"),
        (
            {"encoder": "resnet50", "encoder_fields": {"depth": 3}},
            "encoder_fields: found depth; expected width",
        ),
        ({"detail_widths": [4] * 7}, "detail_widths: found 7 scales; expected at most 6"),
        ({"temporal_heads": 3}, "temporal_heads: found 3 for 16 channels"),
    ],
)
def test_configurations_that_do_not_fit_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        small_network(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_heads": 3}, "num_heads: found 3 for 8 channels; expected a divisor"),
        ({"decoder_widths": [8, 8, 16]}, "decoder_widths: found .* expected as many, the last the same"),
    ],
)
def test_widths_that_do_not_fit_utae_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        UTAE(UTAEConfig(num_channels=3, **{**SMALL_UTAE, **fields}))


def test_utae_has_the_size_of_the_published_one():
    """Table 1 of the paper: 1,087 thousand parameters with its own inputs and classes."""
    with torch.device("meta"):
        network = UTAE(UTAEConfig())
    assert 1.05e6 < sum(parameter.numel() for parameter in network.parameters()) < 1.15e6


@pytest.mark.parametrize(
    ("encoder", "fields"),
    [
        ("convnext-tiny", {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 8, 16, 16]}),
        ("resnet50", {"width": 4}),
    ],
)
@torch.no_grad()
def test_other_encoders_give_the_same_kinds_of_maps(encoder, fields, images, tmp_path):
    network = small_network(encoder=encoder, encoder_fields=fields)
    expected = network(images).logits
    assert expected.shape == (2, 5, 2, *SIZE)
    network.save_pretrained(tmp_path)
    close(EuroMineSeries.from_pretrained(tmp_path)(images).logits, expected)


@pytest.mark.parametrize("encoder", ["mit-b0", "convnext-tiny"])
def test_an_encoder_starts_from_a_checkpoint_of_transformers(encoder, tmp_path):
    torch.manual_seed(3)
    if encoder == "mit-b0":
        fields, published = MIT, SegformerModel(SegformerConfig(**MIT))
        name = "stages.0.patch_embeddings.proj.weight"
    else:
        fields = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 8, 16, 16]}
        published = ConvNextModel(ConvNextConfig(**fields))
        name = "embeddings.patch_embeddings.weight"
    published.save_pretrained(tmp_path)
    network = EuroMineSeries(
        EuroMineSeriesConfig(
            bands=["B04", "B03", "B02", "B08"], encoder=encoder, **{**SMALL, "encoder_fields": fields}
        )
    )
    network.load_pretrained(str(tmp_path), "semantic")
    theirs, ours = published.state_dict(), network.encoder.network.state_dict()
    assert theirs.keys() == ours.keys()
    for key, value in theirs.items():
        if key == name:
            close(ours[key][:, :3], value * 3 / 4)
            close(ours[key][:, 3], value.mean(dim=1) * 3 / 4)
        else:
            assert torch.equal(ours[key], value), key
    other = small_network(encoder="resnet50", encoder_fields={"width": 4})
    with pytest.raises(ValueError, match="expected euromine_series"):
        other.load_pretrained(str(tmp_path), "semantic")


def test_a_resnet_starts_from_weights_for_all_of_sentinel_2(tmp_path):
    torch.manual_seed(4)
    published = ResNet(13, 50, width=4).state_dict()
    save_file(published, tmp_path / "moco.safetensors")
    network = EuroMineSeries(
        EuroMineSeriesConfig(encoder="resnet50", **{**SMALL, "encoder_fields": {"width": 4}})
    )
    network.load_pretrained(str(tmp_path / "moco.safetensors"), "semantic")
    ours = network.encoder.network.state_dict()
    # B01, B09 and B10 of the thirteen bands are not among the ten.
    assert torch.equal(ours["conv1.weight"], published["conv1.weight"][:, [1, 2, 3, 4, 5, 6, 7, 8, 11, 12]])
    assert torch.equal(ours["layer4.2.conv3.weight"], published["layer4.2.conv3.weight"])


def test_pairs_of_an_interval_weigh_alike_and_short_intervals_more():
    years = torch.tensor([[2015, 2016, 2017, 2018], [2015, 2016, 2018, 2024]])
    weights = pair_weights(years, 0.5)
    for row, found in zip(years.tolist(), weights, strict=True):
        sums: dict[int, float] = {}
        for (first, last), weight in zip(itertools.combinations(row, 2), found.tolist(), strict=True):
            sums[last - first] = sums.get(last - first, 0.0) + weight
        assert sums == pytest.approx({interval: interval**-0.5 for interval in sums})
    assert pair_weights(years, 0.0)[0].tolist() == pytest.approx([1 / 3, 1 / 2, 1, 1 / 3, 1 / 2, 1 / 3])


def test_edges_are_where_both_classes_meet():
    labels = torch.tensor([[0, 0, 0, 0, 0], [0, 1, 1, 255, 0], [0, 1, 1, 255, 0], [0, 0, 255, 255, 0]])
    rows, columns = labels.shape
    expected = torch.zeros_like(labels, dtype=torch.bool)
    for row, column in itertools.product(range(rows), range(columns)):
        near = labels[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
        expected[row, column] = labels[row, column] != 255 and bool((near == 0).any() and (near == 1).any())
    assert torch.equal(footprint_edges(labels[None], 255)[0], expected)


def test_terms_are_those_of_their_definitions():
    generator = torch.Generator().manual_seed(4)
    logits = torch.randn(2, 3, 2, 6, 5, generator=generator).log_softmax(dim=2)
    labels = torch.randint(0, 2, (2, 3, 6, 5), generator=generator)
    valid = torch.rand(labels.shape, generator=generator) > 0.2
    found = weighted_cross_entropy(logits, labels, valid.float())
    for year in range(3):
        expected = torch.nn.functional.cross_entropy(
            logits[:, year], torch.where(valid, labels, 255)[:, year], ignore_index=255
        )
        torch.testing.assert_close(found[year], expected)
    mine, truth = logits[:, :, 1].exp()[valid], labels[valid].float()
    dice = 1 - (2 * (mine * truth).sum() + 1) / (mine.sum() + truth.sum() + 1)
    torch.testing.assert_close(soft_dice_loss(logits, labels, valid), dice)


def test_each_term_can_be_left_out(network, images):
    labels = torch.randint(0, 2, (2, 5, *SIZE), generator=torch.Generator().manual_seed(6))
    years = torch.arange(5).expand(2, 5)
    with torch.no_grad():
        evidence = network.evidence(images, years, None)
        posterior = ChainPosterior.of(evidence.potentials, evidence.transitions)
        logits = posterior.log_marginals()
        changes = network.predict_series(images)

    def loss(**terms: float) -> float:
        names = ("cross_entropy", "dice", "likelihood", "pair", "pair_dice")
        weights = {name: terms.get(name, 0.0) for name in names}
        return series_loss(
            LossWeights(**weights, pair_decay=0.5, edge=1.0),
            posterior,
            logits,
            changes,
            labels,
            years,
            255,
        ).item()

    assert loss() == 0
    terms = ("cross_entropy", "dice", "likelihood", "pair", "pair_dice")
    single = {term: loss(**{term: 1.0}) for term in terms}
    assert all(value > 0 for value in single.values())
    weights = {term: place + 1.0 for place, term in enumerate(terms)}
    assert loss(**weights) == pytest.approx(
        sum(weight * single[term] for term, weight in weights.items()), rel=1e-5
    )
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(0, 1))
    assert single["cross_entropy"] == pytest.approx(expected.item(), rel=1e-5)
    overlap = total = 0.0
    for place, (first, last) in enumerate(itertools.combinations(range(5), 2)):
        # All pairs of an interval together weigh interval^-0.5, and 5 - interval pairs have it.
        weight = (last - first) ** -0.5 / (5 - (last - first))
        changed = (labels[:, first] != labels[:, last]).float()
        probability = changes[:, place, 1].exp()
        overlap += weight * (probability * changed).sum().item()
        total += weight * (probability.sum() + changed.sum()).item()
    assert single["pair_dice"] == pytest.approx(1 - (2 * overlap + 1) / (total + 1), rel=1e-4)
