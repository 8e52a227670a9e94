"""Reports over HTTP."""

import io
import json
import zipfile
from pathlib import Path

import pytest
from docx import Document
from starlette.testclient import TestClient

from euromine.app import report_documents
from euromine.app.app_errors import Overloaded

from .drawn_app import SECOND_ID, SITE_ID

ADDRESS = f"/api/sites/{SITE_ID}/report"
WISHES = {
    "title": "Inspection <of> the pit",
    "author": "A. Berg",
    "organisation": "Mining office",
    "sections": ["permits", "areas"],
    "notes": {"introduction": "Seen **twice**.", "areas": "<script>alert(1)</script> grew"},
}


def test_the_sections_are_those_of_the_report(client: TestClient) -> None:
    sections = client.get("/api/report/sections").json()["sections"]
    assert [each["name"] for each in sections][:3] == ["map", "years", "areas"]
    assert {"name": "permits", "title": "Outside the permits"} in sections


def test_a_page_has_the_wishes_and_runs_nothing(client: TestClient) -> None:
    answer = client.post(f"{ADDRESS}?format=html", json=WISHES)
    page = answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "Inspection &lt;of&gt; the pit" in page
    assert "Seen <strong>twice</strong>." in page
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; grew" in page
    assert 0 < page.index('id="permits"') < page.index('id="areas"')
    assert 'id="changes"' not in page
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "allow-scripts" not in policy


def test_a_form_leads_a_frame_to_the_same_page(client: TestClient) -> None:
    by_form = client.post(f"{ADDRESS}?format=html", data={"report": json.dumps(WISHES)})
    assert by_form.status_code == 200
    assert by_form.text == client.post(f"{ADDRESS}?format=html", json=WISHES).text


def test_a_report_without_wishes_has_all_sections(client: TestClient) -> None:
    page = client.get(ADDRESS).text
    assert all(f'id="{name}"' in page for name in ("map", "areas", "changes", "permits", "made", "caveats"))
    assert client.get(f"/api/sites/{SECOND_ID}/report").status_code == 200


def test_a_word_document_is_made_in_a_process_of_its_own(client: TestClient) -> None:
    answer = client.post(f"{ADDRESS}?format=docx", json={**WISHES, "sections": ["areas"]})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-disposition"] == f'attachment; filename="{SITE_ID}_report.docx"'
    assert zipfile.is_zipfile(io.BytesIO(answer.content))
    document = Document(io.BytesIO(answer.content))
    assert document.core_properties.author == "A. Berg"
    assert any("Inspection <of> the pit" in paragraph.text for paragraph in document.paragraphs)


def test_a_document_that_takes_too_long_is_given_up(app_folder: Path) -> None:
    with pytest.raises(Overloaded, match="found no end after 0 s"):
        report_documents.report_document(app_folder / "sites" / SITE_ID, "pdf", None, longest=0.01)


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"sections": ["nothing"]}, "sections: found 'nothing'; expected map, years"),
        ({"sections": ["map", "Map"]}, "found a section twice"),
        ({"notes": {"nothing": "text"}}, "sections: found 'nothing'"),
        ({"title": "x" * 201}, "title: found"),
        ({"logo": "mine.png"}, "logo: found 'mine.png'; expected another value"),
        ([], "report: found"),
    ],
)
def test_wrong_wishes_are_refused(client: TestClient, wishes, words: str) -> None:
    answer = client.post(ADDRESS, json=wishes)
    assert answer.status_code in (400, 422)
    assert words in answer.json()["error"]


def test_other_kinds_and_sites_are_refused(client: TestClient) -> None:
    assert client.get(f"{ADDRESS}?format=exe").status_code == 422
    assert client.get("/api/sites/nothing/report").status_code == 404
    answer = client.post(ADDRESS, data={"other": "field"})
    assert answer.json()["error"] == "report: found no JSON; expected title, sections and notes."
