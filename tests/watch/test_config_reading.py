"""Configurations: right ones, and a sentence for each mistake."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from euromine.monitoring.mapping.engine_choice import EngineChoice
from euromine.support.errors import ConfigError
from euromine.watch.config_reading import config_schema, parse_config, read_config
from euromine.watch.watch_config import Growth, address_problem

SITE = {"name": "pit", "images": "archive/pit"}
MAIL = {"to": ["a@example.org"], "sender": "b@example.org", "host": "mail.example.org"}


def config(**fields):
    return {"model": "org/mapper", "sites": [SITE], **fields}


def site(**fields):
    return config(sites=[{**SITE, **fields}])


def mail(**fields):
    return config(recipients=[{"name": "office", "mail": {**MAIL, **fields}}])


def webhook(**fields):
    return config(recipients=[{"name": "office", "webhook": fields}])


@pytest.mark.parametrize(
    ("document", "sentences"),
    [
        ({}, ["c.yaml, sites: found nothing; expected a value."]),
        (config(sites=[]), ["c.yaml, sites: found []; expected at least 1."]),
        (
            site(image="x"),
            [
                "c.yaml, sites[0]: found unknown field 'image'; expected name, images, acquire, model, "
                "change_model, engine, precision, force_precision, permits, permit_layers, "
                "minimum_mapping_unit, rules, recipients. The nearest is images."
            ],
        ),
        (
            site(name="a/b"),
            ["c.yaml, sites[0].name: found 'a/b'; expected the name of a folder, such as Germany_12."],
        ),
        (
            config(engine="opnvino", sites=[{**SITE, "precision": "float16", "force_precision": "please"}]),
            [
                "c.yaml, engine: found 'opnvino'; expected 'auto', 'eager', 'compile', 'openvino' or "
                "'onnxruntime'.",
                "c.yaml, sites[0].precision: found 'float16'; expected 'float32', 'bfloat16' or 'int8'.",
                "c.yaml, sites[0].force_precision: found 'please'; expected true or false.",
            ],
        ),
        (
            config(engine="eager", precision="int8"),
            [
                "c.yaml, precision: found int8 with the engine eager; expected float32 or bfloat16. Only "
                "openvino runs int8."
            ],
        ),
        (
            config(engine="onnxruntime", sites=[SITE, {**SITE, "name": "b", "precision": "bfloat16"}]),
            [
                "c.yaml, sites[1].precision: found bfloat16 with the engine onnxruntime, which has none on a "
                "CPU; expected float32. Use openvino or eager."
            ],
        ),
        (
            {"sites": [SITE]},
            ["c.yaml: found no model for site 'pit'; expected one, for the site or for all."],
        ),
        (
            config(sites=[SITE, {**SITE, "name": "PIT"}]),
            ["c.yaml: found site 'pit' twice; expected it once."],
        ),
        (
            site(rules={"growth": {"hectares": -1}, "no_data": {"days": 1.5}}),
            [
                "c.yaml, sites[0].rules.growth.hectares: found -1; expected more than 0.0.",
                "c.yaml, sites[0].rules.no_data.days: found 1.5; expected a whole number.",
            ],
        ),
        (
            site(rules={"growth": {"hectares": float("nan")}}),
            ["c.yaml, sites[0].rules.growth.hectares: found nan; expected a finite number."],
        ),
        (
            site(acquire={"since": 2020}),
            ["c.yaml, sites[0].acquire: found neither bbox nor geometry; expected one of them."],
        ),
        (
            {"model": "m", "sites": [{"name": "pit"}]},
            ["c.yaml, sites[0]: found neither images nor acquire; expected one of them."],
        ),
        (
            site(recipients=["offcie"]) | {"recipients": [{"name": "office", "mail": MAIL}]},
            ["c.yaml: found recipient 'offcie' of site 'pit'; expected one of office."],
        ),
        (
            mail(password="hush"),
            [
                "c.yaml, recipients[0].mail: found the field password; expected password_env, the name of an "
                "environment variable. Secrets do not belong in a file."
            ],
        ),
        (
            mail(user="me", password_env="P", security="none"),
            [
                "c.yaml, recipients[0].mail: found security none with a user; expected starttls or tls, as "
                "the password would travel unencrypted."
            ],
        ),
        (mail(port="x"), ["c.yaml, recipients[0].mail.port: found 'x'; expected a whole number."]),
        (
            mail(security="ssl"),
            ["c.yaml, recipients[0].mail.security: found 'ssl'; expected 'starttls', 'tls' or 'none'."],
        ),
        (
            webhook(url="https://u:p@example.org"),
            [
                "c.yaml, recipients[0].webhook: url: found a password or parameters in the address; expected "
                "url_env, as they are secrets."
            ],
        ),
        (
            webhook(url="http://example.org"),
            [
                "c.yaml, recipients[0].webhook: url: found http; expected https://..., or http:// of this "
                "machine."
            ],
        ),
        (
            webhook(url="https://example.org", secret="hush"),
            [
                "c.yaml, recipients[0].webhook: found the field secret; expected secret_env, the name of an "
                "environment variable. Secrets do not belong in a file."
            ],
        ),
    ],
)
def test_each_mistake_is_one_sentence(document, sentences) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(document, "c.yaml")
    assert str(caught.value).split("\n") == sentences


def test_an_error_never_shows_a_secret() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(mail(password="hush-hush"), "c.yaml")
    assert "hush-hush" not in str(caught.value)


def test_a_site_s_rules_stand_before_the_common_ones(tmp_path: Path) -> None:
    document = config(
        rules={"growth": {"hectares": 3}, "no_data": False},
        sites=[SITE, {**SITE, "name": "other", "rules": {"growth": False, "no_data": {"days": 30}}}],
    )
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(document))
    first, second = (each.rules for each in read_config(path).sites)
    assert (first.growth.hectares, first.no_data) == (3, None)
    assert (second.growth, second.no_data.days) == (None, 30)
    assert first.outside_permit.hectares == second.outside_permit.hectares == 0.5


def test_a_site_s_engine_stands_before_the_common_one(tmp_path: Path) -> None:
    own = {"engine": "openvino", "precision": "int8", "force_precision": False}
    sites = [SITE, {**SITE, "name": "b", **own}, {**SITE, "name": "c", "engine": "eager"}]
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(config(precision="bfloat16", force_precision=True, sites=sites)))
    assert [site.engine_choice for site in read_config(path).sites] == [
        EngineChoice("auto", "bfloat16", force_precision=True),
        EngineChoice("openvino", "int8", force_precision=False),
        EngineChoice("eager", "bfloat16", force_precision=True),
    ]
    path.write_text(yaml.safe_dump(config()))
    assert read_config(path).sites[0].engine_choice == EngineChoice()


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "mapper").mkdir()
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump({"model": "mapper", "sites": [{**SITE, "permits": "p.gpkg"}]}))
    found = read_config(path)
    assert found.folder == tmp_path / "watch"
    assert found.sites[0].images == tmp_path / "archive/pit"
    assert found.sites[0].permits == tmp_path / "p.gpkg"
    assert found.sites[0].model == str(tmp_path / "mapper")


@pytest.mark.parametrize("text", ["sites: [", "- 1\n- 2\n", "!!python/object/apply:os.getcwd []", "\x00"])
def test_other_documents_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(
        ConfigError, match=r"^\S+c\.yaml: found (text that is neither JSON nor YAML|no fields)"
    ):
        read_config(path)


def test_the_schema_agrees_with_the_reader() -> None:
    validator = jsonschema.Draft202012Validator(config_schema())
    validator.check_schema(config_schema())
    right = config(rules={"growth": False, "no_data": {"days": 3}}, recipients=[{"name": "a", "mail": MAIL}])
    assert not list(validator.iter_errors(json.loads(json.dumps(right))))
    parse_config(right, "c.yaml")
    assert not list(validator.iter_errors(site(engine="openvino", precision="int8", force_precision=True)))
    for part in (config_schema(), config_schema()["$defs"]["Site"]):
        for field in ("engine", "precision", "force_precision"):
            assert part["properties"][field]["description"]
    for wrong in (
        site(engine="torch"),
        config(force_precision=1),
        site(image="x"),
        mail(port="x"),
        site(rules={"growth": {"hectares": -1}}),
        {},
    ):
        assert list(validator.iter_errors(wrong))


@pytest.mark.parametrize(
    ("field", "document"),
    [
        (
            "sites[0].rules.growth.hectares: found true; expected a number",
            site(rules={"growth": {"hectares": True}}),
        ),
        (
            "sites[0].rules.no_data.days: found true; expected a whole number",
            site(rules={"no_data": {"days": True}}),
        ),
        ("recipients[0].mail.timeout: found '30'; expected a number", mail(timeout="30")),
        ("sites[0].name: found nothing; expected text", site(name=None)),
    ],
)
def test_true_and_text_are_no_numbers(field, document) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(document, "c.yaml")
    assert str(caught.value) == f"c.yaml, {field}."


def test_a_key_that_repeats_is_refused_with_its_line_and_one_may_replace_that_of_an_anchor(tmp_path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        "model: m\nsites: [{name: pit, images: x}]\nrules:\n  growth: {hectares: 1}\n  growth: false\n"
    )
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    assert str(caught.value) == (
        f"{path}: found the key 'growth' twice, the second time in line 5; expected it once."
    )
    path.write_text(
        "model: m\nsites:\n  - &pit {name: pit, images: x, minimum_mapping_unit: 1}\n"
        "  - {<<: *pit, name: other}\n"
    )
    assert [(each.name, each.minimum_mapping_unit) for each in read_config(path).sites] == [
        ("pit", 1),
        ("other", 1),
    ]


@pytest.mark.parametrize("given", ["hunter2", "pass word!"])
def test_a_password_in_place_of_a_variable_s_name_is_refused_and_not_shown(given) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(mail(user="me", password_env=given), "c.yaml")
    assert str(caught.value) == (
        "c.yaml, recipients[0].mail.password_env: found no name of an environment variable; expected one, "
        "such as SMTP_PASSWORD."
    )


@pytest.mark.parametrize("given", ["Office <a@example.org>", "a@x.org,b@x.org", "office"])
def test_an_address_is_one_address_alone(given) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(mail(sender=given), "c.yaml")
    assert str(caught.value) == (
        f"c.yaml, recipients[0].mail.sender: found {given!r}; expected an address such as name@example.org."
    )


def test_no_part_of_an_address_that_cannot_be_read_is_shown() -> None:
    assert "hush" not in str(address_problem("https://me:hush/x@example.org"))
    assert address_problem("https://me:hush@example.org?key=hush", may_hold_secrets=True) is None


def test_a_rule_without_a_value_has_its_defaults() -> None:
    read = parse_config({**site(), "rules": {"growth": None, "no_data": False}}, "c.yaml")
    assert (read.rules.growth, read.rules.no_data) == (Growth(), None)
