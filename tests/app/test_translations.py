"""Sentences of series, alerts and pictures in German."""

import ast
import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from euromine.app import translations
from euromine.app.static_files import STATIC
from euromine.app.translations import in_words, translated, translated_facts
from euromine.support.processing_levels import MEANINGS

from .drawn_app import SITE_ID

REPOSITORY = Path(__file__).parents[2]
PAIRS = json.loads((REPOSITORY / "app" / "sentences_de.json").read_text(encoding="utf-8"))
# Where sentences are written, and the parts of them that may be empty or are words themselves.
WRITERS = {
    "monitoring/history/area_series.py": ["area_caveats"],
    "monitoring/history/level_caveats.py": ["_of_models", "_of_years"],
    "monitoring/history/series_plan.py": ["_cut"],
    "watch/alert_rules.py": ["_outside_finding", "_growth", "_water_growth", "_reclamation_stalled"],
    "watch/site_checks.py": ["without_rule", "no_data"],
    "app/site_documents.py": ["attribution"],
}
OPTIONAL = {
    "words": ["", " since 2019"],
    "spread": ["", " (1.50 to 4.25 ha)"],
    "sites": ["single site", "4 sites"],
}


def spelled(node: ast.AST) -> list[str]:
    """The sentences that a literal stands for, with 7 for each number and name."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if not isinstance(node, ast.JoinedStr):
        return []
    found = [""]
    for part in node.values:
        texts = ["7"]
        if isinstance(part, ast.Constant):
            texts = [str(part.value)]
        elif isinstance(part.value, ast.Name):
            texts = OPTIONAL.get(part.value.id, texts)
        found = [before + text for before in found for text in texts]
    return found


def sentences() -> list[str]:
    """All sentences in the functions that write them for series and alerts."""
    found = []
    for path, names in WRITERS.items():
        tree = ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))
        functions = {each.name: each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)}
        for name in names:
            body = functions[name].body[1:] if ast.get_docstring(functions[name]) else functions[name].body
            literals = [spelled(node) for part in body for node in ast.walk(part)]
            found += [text for texts in literals for text in texts if re.fullmatch(r"[A-Z].* .*[.7]", text)]
    return found


@pytest.mark.parametrize("sentence", sentences())
def test_every_sentence_that_a_series_or_an_alert_keeps_is_translated(sentence: str) -> None:
    assert translated(sentence, "en") == sentence
    assert translated(sentence, "de") != sentence


def test_the_sentences_are_found_where_they_are_written() -> None:
    found = sentences()
    assert len(found) >= 14
    assert any(each.startswith("Mined area grew by 7 ha (1.50 to 4.25 ha) from 7 to 7") for each in found)


def test_placeholders_and_order_of_the_catalogue_fit() -> None:
    for english, german in PAIRS.items():
        names = [name for name, _ in re.findall(r"\{(\w+)(:\w+)?\}", english)]
        assert set(re.findall(r"\{(\w+)\}", german)) == set(names), english
    # The general ones come last, as the first that fits counts.
    general = [index for index, english in enumerate(PAIRS) if english.startswith("{")]
    assert all(second == first + 1 for first, second in pairwise(general[1:]))


def test_numbers_years_and_parts_are_written_as_in_german() -> None:
    assert in_words("2015 to 2018, 2020 and 2022", "de") == "2015 bis 2018, 2020 und 2022"
    assert in_words("0.5", "de") == "0,5"
    assert in_words("0.5", "en") == "0.5"
    sentence = "Mined area grew by 3.25 ha (1.50 to 4.00 ha) from 2019 to 2021."
    assert (
        translated(sentence, "de") == "Die Abbaufläche wuchs von 2019 bis 2021 um 3,25 ha (1,50 bis 4,00 ha)."
    )
    caveat = (
        f"The images of 2015 to 2017 are L1C ({MEANINGS['L1C']}), but runs/a.b was trained on L2A "
        f"({MEANINGS['L2A']}), so expect less accurate maps than its scores promise."
    )
    german = translated(caveat, "de")
    assert german.startswith("Die Bilder von 2015 bis 2017 sind L1C (Reflexion oberhalb der Atmosphäre)")
    assert ", runs/a.b wurde aber mit L2A (Reflexion am Boden) trainiert: " in german
    cut = (
        "All maps are cut to the ground that every year covers, 52% of that of all years together: "
        "2015 (a.b.tif) covers 52%, 2016 (c.tif) covers 60% and 3 years more. Keep it all with --extent "
        "union."
    )
    assert "2015 (a.b.tif) zeigt 52\N{NO-BREAK SPACE}%, 2016 (c.tif) zeigt 60" in translated(cut, "de")
    assert "und 3 weitere Jahre. Mit --extent union" in translated(cut, "de")
    assert translated("Mapped by unet (trained on simulated images), tinycd.", "de") == (
        "Kartiert von unet (mit simulierten Bildern trainiert), tinycd."
    )


def test_a_sentence_without_a_translation_stays_as_it_is() -> None:
    assert translated("A sentence of a later version, with a comma.", "de") == (
        "A sentence of a later version, with a comma."
    )


def test_caveats_and_cut_are_translated_and_all_else_is_kept() -> None:
    caveat = "The model's errors are unknown: areas are those of the map, without an interval."
    facts = {"caveats": [caveat, "Unheard of."], "cut": "", "settings": {"pairs": "all"}}
    document = {"attribution": "Simulated images 2019", "facts": facts, "areas": [1]}
    assert translated_facts(document, "en") == document
    found = translated_facts(document, "de")
    assert found["facts"]["caveats"][0].startswith("Die Fehler des Modells sind unbekannt: ")
    assert found["facts"]["caveats"][1:] == ["Unheard of."]
    assert (found["facts"]["cut"], found["facts"]["settings"], found["areas"]) == ("", {"pairs": "all"}, [1])


def test_answers_are_german_where_german_is_asked_for(client: TestClient) -> None:
    english = client.get(f"/api/sites/{SITE_ID}").json()
    german = client.get(f"/api/sites/{SITE_ID}?lang=de").json()
    assert german["attribution"] == "Simulierte Bilder 2018, 2019, 2021 und 2022"
    assert german["areas"] == english["areas"]
    alerts = client.get("/api/alerts?lang=de").json()["alerts"]
    plain = client.get("/api/alerts").json()["alerts"]
    assert [each["id"] for each in alerts] == [each["id"] for each in plain]
    assert not {each["sentence"] for each in alerts} & {each["sentence"] for each in plain}
    assert client.get(f"/api/alerts/{plain[0]['id']}?lang=de").json() == alerts[0]
    assert client.get("/api/alerts?lang=fr").status_code == 422


def test_a_printed_map_in_german_is_another_picture(client: TestClient) -> None:
    address = f"/api/sites/{SITE_ID}/map.png?width=600&footprints=true"
    pictures = [client.get(address + more).content for more in ("", "&lang=en", "&lang=de")]
    assert pictures[0] == pictures[1] != pictures[2]
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)


def test_the_page_offers_the_languages_of_the_answers() -> None:
    offered = {path.stem for path in (STATIC / "languages").glob("*.json")}
    assert offered == set(translations.Language.__args__)
