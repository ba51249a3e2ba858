"""The follow-up page as HTML: what it says, where it leads, and that nothing in a name or a note becomes markup."""

import gzip
import html
import json
import re
from datetime import date
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import Engine, event, update

from BDD import store
from BDD.followup_models import Finding
from rano.history import Rules
from tests.api_factory import ApiSite
from tests.followup_factory import patient_key, put_in_doubt, sized, study_of, visit

EVIL = '"><script>alert(1)</script>'


@pytest.fixture
def site(tmp_path):
    site = ApiSite(tmp_path)
    yield site
    site.close()


@pytest.fixture
def patient(site):
    """Three visits: a response, then progression."""
    for number, sizes in enumerate([(24.0, 16.0), (16.0, 10.0), (22.0, 14.0)], start=1):
        visit(site.database, site.number, number, [sized(1, sizes[0]), sized(2, sizes[1])])
    return patient_key(site.database)


def page(site, address, status=200):
    answer = site.client.get(address)
    assert answer.status_code == status, answer.get_data(True)
    assert answer.content_type == "text/html; charset=utf-8"
    return answer.get_data(True)


def text(markup):
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", markup)).split())


def figures(markup):
    found = re.search(r'<script type="application/json" id="figures">(.*?)</script>', markup, re.DOTALL)
    assert found
    return json.loads(found.group(1))


# -- The course ----------------------------------------------------------------------------------------------------


def test_what_it_says(site, patient):
    seen = text(page(site, f"/follow-up/{patient}"))
    assert "Doe Jane" in seen
    assert "not a medical device" in seen
    assert "unetr 1.0 . Measured on synthetic heads." in seen, "how good the model was measured to be"
    assert "PD the sum of longest diameters, 36.00 mm, is 38.46 % above the nadir 26.00 mm" in seen
    assert "2024-03-04 NE PR 26.0 −35.00 % −35.00 %" in seen
    for address in ("report.pdf", "timeline.csv"):
        assert f"/patients/{patient}/{address}" in page(site, f"/follow-up/{patient}")


def test_the_limits_in_the_chart(site, patient):
    chart = {trace["name"]: trace["y"] for trace in figures(page(site, f"/follow-up/{patient}"))["sum"]["data"]}
    assert chart["sum of diameters"] == [40.0, 26.0, 36.0]
    assert chart["baseline"] == [40.0] * 3
    assert chart["−30 % of baseline"] == pytest.approx([28.0] * 3)
    assert chart["nadir before the visit"] == [40.0, 40.0, 26.0]
    assert chart["+20 % of nadir"] == pytest.approx([48.0, 48.0, 31.2])
    assert chart["PR range"] == pytest.approx([28.0] * 3)
    assert chart["SD range"] == pytest.approx([48.0, 48.0, 31.2])


@pytest.mark.parametrize(
    ("rule", "response", "words"),
    [
        ("any_lesion", "SD", "PD from 20 % above the nadir if a target lesion has grown by 5 mm too."),
        ("sum", "PD", "PD from 20 % above the nadir if the sum has grown by 5 mm too."),
        ("volume", "PD", "PR from 65 % below the baseline; PD from 72.8 % above the nadir."),
    ],
)
def test_the_rule_of_the_house_decides(tmp_path, rule, response, words):
    site = ApiSite(tmp_path, RANO_TARGET_RULE=rule)
    for number, size in ((1, 16.0), (2, 20.0)):
        visit(site.database, site.number, number, [sized(1, size), sized(2, size)])
    patient = patient_key(site.database)
    markup = page(site, f"/follow-up/{patient}")
    assert words in text(markup)
    timeline = site.client.get(f"/patients/{patient}/timeline").get_json()
    assert timeline["target_rule"] == rule
    seen = timeline["visits"][1]
    assert seen["radiographic"]["response"] == seen["targets"][rule] == response
    assert seen["targets"] == {"any_lesion": "SD", "sum": "PD", "volume": "PD"}, "all stay, side by side"
    of, unit = ("volumes", "mm3") if rule == "volume" else ("longest diameters", "mm")
    decides = seen["sum_of_volumes" if rule == "volume" else "sum_of_diameters"]
    assert seen["deciding_sum"] == decides | {"of": of}
    assert (decides["unit"], decides["from_nadir_percent"]) == (unit, 95.31 if rule == "volume" else 25.0)
    chart = figures(markup)["sum"]
    drawn = {trace["name"]: trace["y"] for trace in chart["data"]}
    if rule == "volume":
        assert "Sum of the target lesions’ volumes" in text(markup)
        assert "Sum, cm³" in text(markup)
        assert "2024-03-04 PD PD 8.38 +95.31 % +95.31 %" in text(markup)
        assert drawn["sum of volumes"] == pytest.approx([4.289, 8.378], abs=1e-3)
        assert drawn["−65 % of baseline"] == pytest.approx([1.501] * 2, abs=1e-3)
        assert drawn["+72.8 % of nadir"] == pytest.approx([7.412] * 2, abs=1e-3)
        assert chart["layout"]["yaxis"]["title"]["text"] == "sum, cm³"
    else:
        assert "Sum of the target lesions’ longest diameters" in text(markup)
        assert drawn["sum of diameters"] == [32.0, 40.0]
    site.close()


def test_a_small_volume_is_told_to_the_mm3(site):
    for number, size in ((1, 20.0), (2, 3.0)):
        visit(site.database, site.number, number, [sized(1, size)])
    markup = page(site, f"/follow-up/{patient_key(site.database)}")
    rows = [text(row) for row in re.findall(r"<tr>.*?</tr>", markup, re.DOTALL)]
    assert "GTV_MetIA_1 target 4.19 0.014" in rows, "at every visit"
    assert sum("3.0 × 2.4 0.014" in row for row in rows) == 1, "and closely"
    (curve,) = figures(markup)["volumes"]["data"]
    assert curve["hovertemplate"] == "%{y:.3f} cm³"


def test_bands_never_cross(site):
    """After a deep response, what lies 20 % above the nadir is progression though it is 30 % below the baseline."""
    for number, size in enumerate([40.0, 11.0, 20.0], start=1):
        visit(site.database, site.number, number, [sized(1, size)])
    chart = figures(page(site, f"/follow-up/{patient_key(site.database)}"))["sum"]["data"]
    bands = {trace["name"]: trace["y"] for trace in chart}
    assert bands["PR range"][2] == bands["SD range"][2] == pytest.approx(13.2)
    assert bands["−30 % of baseline"][2] == pytest.approx(28.0)


def test_curves_and_charts_of_a_visit_have_the_numbers_of_the_tables(site, patient):
    markup = page(site, f"/follow-up/{patient}?visit={study_of(2)}")
    drawn = figures(markup)
    assert [trace["y"] for trace in drawn["diameters"]["data"]] == [[24.0, 16.0, 22.0], [16.0, 10.0, 14.0]]
    assert drawn["volumes"]["data"][0]["y"][0] == pytest.approx(7.238, rel=1e-3)
    assert [trace["y"] for trace in drawn["bars"]["data"]] == [[16.0, 10.0], [12.8, 8.0]]
    assert drawn["bars"]["layout"]["xaxis"]["type"] == "category"
    assert [(t["x"], t["name"]) for t in drawn["scatter"]["data"]] == [([16.0], "GTV_MetIA_1"), ([10.0], "GTV_MetIA_2")]
    assert "One visit: 2024-03-04" in text(markup)
    assert "16.0 × 12.8 2.14 −33.33 % yes" in text(markup)
    for name in drawn:
        assert re.search(rf'<div class="chart" id="{name}"[^>]*aria-label="[^"]+"', markup)


def test_a_chart_names_as_many_lesions_as_there_is_room_for(site):
    for number in (1, 2):
        visit(site.database, site.number, number, [sized(label, 30.0 - label) for label in range(1, 14)])
    patient = patient_key(site.database)
    drawn = figures(page(site, f"/follow-up/{patient}"))
    for name in ("diameters", "volumes", "scatter"):
        assert len(drawn[name]["data"]) == 13
        assert drawn[name]["layout"]["showlegend"] is False
        assert drawn[name]["layout"]["hovermode"] == "closest"
    assert "showlegend" not in drawn["bars"]["layout"], "that names its two diameters, and lesions below the axis"
    assert "charts name no lesions where there are more than 12" in text(page(site, f"/follow-up/{patient}"))
    (first, *_) = site.client.get(f"/patients/{patient}/timeline").get_json()["lesions"]
    decide(site, first, not_a_lesion=True)
    assert "showlegend" not in figures(page(site, f"/follow-up/{patient}"))["diameters"]["layout"]
    assert "charts name no lesions" not in text(page(site, f"/follow-up/{patient}"))


def test_a_long_course_is_laid_out_for_paper_too(site, patient):
    assert page(site, f"/follow-up/{patient}").count('<table class="paper">') == 1, "entries; the others fit"
    for number in range(4, 18):
        visit(site.database, site.number, number, [sized(1, 20.0), sized(2, 14.0)])
    markup = page(site, f"/follow-up/{patient}")
    tables = re.findall(r'<table class="paper">(.*?)</table>', markup, re.DOTALL)[:-1]
    assert [len(re.findall("<th scope=.col. class=.number.>", table)) for table in tables] == [6, 6, 5] * 2
    assert "Lesion Role 2024-02-05 2024-03-04" in text(tables[0])
    assert "2025-04-28" in text(tables[2])
    assert all("GTV_MetIA_2 target" in text(table) for table in tables)


def test_links_lead_to_the_measured_slice(site, patient):
    markup = page(site, f"/follow-up/{patient}?visit={study_of(2)}")
    links = [html.unescape(link) for link in re.findall(r'href="(/viewer\?[^"]+)"', markup)]
    (row,) = [one for one in store.get_job(site.database, job_of(site, 2)).lesions if one.label == 1]
    wanted = {
        "StudyInstanceUIDs": [study_of(2)],
        "initialSeriesInstanceUID": [f"{study_of(2)}.1"],
        "initialSOPInstanceUID": [row.measured_sop_instance_uid],
    }
    assert wanted in [parse_qs(urlsplit(link).query) for link in links]
    assert f'data-src="/studies/{study_of(2)}/lesions/2.25.1/image.png"' in markup


def job_of(site, number):
    (job,) = store.list_jobs(site.database, study_instance_uid=study_of(number))
    return job.job_id


def test_entries_carry_the_version_they_change(site, patient):
    body = {"corticosteroid_mg": 2.5, "clinical_status": "worse", "note": f"{EVIL}\ntwo", "version": 0}
    assert site.client.post(f"/visits/{study_of(2)}/assessment", json=body).status_code == 200
    markup = page(site, f"/follow-up/{patient}")
    assert f'data-study="{study_of(2)}" data-version="1"' in markup
    assert f'data-study="{study_of(3)}" data-version="0"' in markup
    assert "2.5 mg, worse, note" in text(markup)
    assert "<option selected>worse" in markup
    assert "<script>alert" not in markup


def test_the_baseline_has_not_changed(site, patient):
    assert "2024-02-05 – baseline 40.0 – –" in text(page(site, f"/follow-up/{patient}"))


def test_who_changed_a_visit_and_what_can_be_undone(site, patient):
    untouched = page(site, f"/follow-up/{patient}")
    assert "last changed" not in untouched
    assert "data-undo" not in untouched
    for user, dose, version in (("ana", 4, 0), (EVIL, 2, 1)):
        body = {"corticosteroid_mg": dose, "version": version, "user": user}
        assert site.client.post(f"/visits/{study_of(2)}/assessment", json=body).status_code == 200
    second, first = site.client.get(f"/patients/{patient}/changes").get_json()["changes"]
    markup = page(site, f"/follow-up/{patient}")
    assert "<script>alert" not in markup
    assert f"last changed by {EVIL} on 20" in html.unescape(markup)
    assert re.findall(r'data-undo="(\d+)"', markup) == [str(second["id"])]
    assert "Undo the last change (corticosteroids), by" in text(markup)
    site.client.post(f"/changes/{second['id']}/undo", json={"user": "ben"})
    markup = page(site, f"/follow-up/{patient}")
    assert "last changed by ben on 20" in markup
    assert re.findall(r'data-undo="(\d+)"', markup) == [str(first["id"])], "what was undone is not undone again"


def test_who_has_logged_in_is_not_asked_for_a_name(site, patient):
    """The name comes in the header that nginx sets, as UTF-8."""
    name = 'Zoë "Z" <b>'
    page_of = site.client.get(f"/follow-up/{patient}", headers={"X-User": name.encode().decode("latin-1")})
    (value,) = re.findall(r'<input id="user"[^>]* value="([^"]*)" readonly>', page_of.text)
    assert html.unescape(value) == name
    assert "<b>" not in value


def test_what_can_be_entered_is_what_the_server_takes(site, patient, monkeypatch):
    for name, value in (("NOTE_LENGTH", 41), ("USER_LENGTH", 11), ("MAXIMUM_MG", 12.5), ("UNUSUAL_MG", 8.5)):
        monkeypatch.setattr(f"routes.bounds.{name}", value)
    markup = page(site, f"/follow-up/{patient}")
    assert re.search(r'<textarea name="note"[^>]* maxlength="41">', markup)
    assert re.search(r'<input id="user"[^>]* maxlength="11"', markup)
    assert "readonly" not in markup
    assert re.search(r'<input name="corticosteroid_mg"[^>]* title="From 0 to 12.5 mg,[^>]* data-unusual="8.5"', markup)


def test_immunotherapy_can_be_said_of_each_visit(site, patient):
    def chosen(number):
        markup = page(site, f"/follow-up/{patient}")
        form = markup[markup.index(f'<form data-study="{study_of(number)}"') :]
        options = re.search(r'<label>Immunotherapy.*?<select name="immunotherapy">(.*?)</select>', form, re.DOTALL)
        assert options
        assert re.findall(r'value="(.*?)".*?>(.*?)</option>', options[1]) == [
            ("null", "as at the visit before"),
            ("true", "yes"),
            ("false", "no"),
        ]
        return re.findall(r'value="(\w+)" selected', options[1])

    assert [chosen(number) for number in (1, 2, 3)] == [["null"]] * 3
    for number, said in ((2, True), (3, False)):
        body = {"immunotherapy": said, "version": 0}
        assert site.client.post(f"/visits/{study_of(number)}/assessment", json=body).status_code == 200
    assert [chosen(number) for number in (1, 2, 3)] == [["null"], ["true"], ["false"]]
    seen = text(page(site, f"/follow-up/{patient}"))
    assert "2024-02-05 not known not known not said – 2024-03-04 not known not known yes –" in seen
    assert "dose not known, status not known, immunotherapy: yes" in seen
    store.assess_visit(site.database, study_of(3), {"immunotherapy": None}, version=1, made_by="ana")
    seen = text(page(site, f"/follow-up/{patient}"))
    assert "2024-04-01 not known not known yes, as before –" in seen
    assert "nothing entered yet, immunotherapy: yes, as before" in seen


def test_a_reader_can_judge_what_is_new_and_what_is_no_target(site):
    visit(site.database, site.number, 1, [sized(1, 20.0), sized(2, 5.0)])
    visit(site.database, site.number, 2, [sized(1, 20.0), sized(2, 16.0), sized(3, 12.0)])
    patient = patient_key(site.database)

    def offered(number):
        markup = page(site, f"/follow-up/{patient}")
        form = markup[markup.index(f'<form data-study="{study_of(number)}"') :].split("</form>")[0]
        found = re.findall(r'<label>([^<]*?)\s*<select name="judgement ([\d.]+)"[^>]*>(.*?)</select>', form, re.DOTALL)
        return {(words, uid): re.findall(r'value="(.*?)"( selected)?>(.*?)<', options) for words, uid, options in found}

    assert offered(1) == {}, "the baseline is what the others are judged by"
    assert offered(2) == {
        ("GTV_MetIA_3, new, 12.0 mm", "2.25.3"): [
            ("", "", "by the rule"),
            ("new", "", "new beyond doubt"),
            ("equivocal", "", "equivocal"),
        ],
        ("GTV_MetIA_2, non-target, 16.0 mm", "2.25.2"): [
            ("", "", "by the rule"),
            ("progression", "", "unequivocal progression"),
            ("no progression", "", "no progression"),
        ],
    }
    said = {"2.25.3": "equivocal", "2.25.2": "no progression"}
    store.assess_visit(site.database, study_of(2), {"judgements": said}, version=0, made_by="ana")
    chosen = [value for options in offered(2).values() for value, selected, _ in options if selected]
    assert chosen == ["equivocal", "no progression"]
    seen = text(page(site, f"/follow-up/{patient}"))
    assert "GTV_MetIA_3 new by a reader: equivocal 12.0 × 9.6" in seen
    assert "not said GTV_MetIA_3: equivocal; GTV_MetIA_2: no progression –" in seen
    assert "Undo the last change (judgements of lesions), by ana" in seen
    # What has gone is not judged.
    visit(site.database, site.number, 3, [sized(1, 20.0), sized(2, 16.0)])
    assert [uid for _, uid in offered(3)] == ["2.25.2"]
    # What no longer decides is called that, and can still be taken back.
    store.assess_visit(site.database, study_of(2), {"baseline": True}, version=1, made_by="ana")
    assert [[words for *_, words in options] for options in offered(2).values()] == [
        ["by the rule", "no progression, without effect"],
        ["by the rule", "equivocal, without effect"],
    ]
    seen = text(page(site, f"/follow-up/{patient}?visit={study_of(2)}"))
    assert "by a reader: equivocal, without effect" in seen


def test_a_doubt_can_be_ended_beside_it(site, patient):
    put_in_doubt(site.database, visit(site.database, site.number, 3, [sized(1, 22.0), sized(2, 14.0)]))
    followed = store.load_timeline(site.database, patient, Rules()).visits[2].followed
    button = f'data-study="{study_of(3)}" data-version="0" data-verified="{followed}"'
    assert page(site, f"/follow-up/{patient}").count(button) == 2, "where it stands, and at the visit"
    assert "Look at this one." in text(page(site, f"/follow-up/{patient}"))
    store.assess_visit(site.database, study_of(3), {"verified": followed}, version=0, made_by="ana")
    after = page(site, f"/follow-up/{patient}")
    assert f'data-study="{study_of(3)}" data-version="1" data-verified=""' in after
    assert "A person has looked at how GTV_MetIA_1, GTV_MetIA_2 were followed, and found it right." in text(after)
    assert "Look at this one." not in text(after)


def test_what_was_found_right_is_asked_again_once_the_visit_is_segmented_again(site, patient):
    for version in range(2):
        put_in_doubt(site.database, visit(site.database, site.number, 3, [sized(1, 22.0 + version), sized(2, 14.0)]))
        followed = store.load_timeline(site.database, patient, Rules()).visits[2].followed
        button = f'data-study="{study_of(3)}" data-version="{version}" data-verified="{followed}"'
        assert button in page(site, f"/follow-up/{patient}")
        store.assess_visit(site.database, study_of(3), {"verified": followed}, version=version, made_by="ana")


def test_a_doubt_before_the_baseline_can_be_ended_too(site, patient):
    put_in_doubt(site.database, visit(site.database, site.number, 1, [sized(1, 24.0), sized(2, 16.0)]))
    store.assess_visit(site.database, study_of(2), {"baseline": True}, version=0, made_by="ana")
    address = f"/follow-up/{patient}?visit={study_of(1)}"
    assert "Look at this one." in text(page(site, address))
    followed = store.load_timeline(site.database, patient, Rules()).visits[0].followed
    assert f'data-study="{study_of(1)}" data-version="0" data-verified="{followed}"' in page(site, address)
    store.assess_visit(site.database, study_of(1), {"verified": followed}, version=0, made_by="ana")
    assert "Look at this one." not in text(page(site, address))
    assert f'data-study="{study_of(1)}" data-version="1" data-verified=""' in page(site, address)


def test_a_doubt_of_an_earlier_visit_is_ended_there(site, patient):
    put_in_doubt(site.database, visit(site.database, site.number, 2, [sized(1, 14.0), sized(2, 6.0)]))
    later = page(site, f"/follow-up/{patient}?visit={study_of(3)}")
    words = "<strong>Without the visit of 2024-03-04, which is in doubt, the response on the images would be SD"
    assert words in later
    assert f'class="verify screen" data-study="{study_of(3)}"' not in later, "there is nothing to look at here"
    followed = store.load_timeline(site.database, patient, Rules()).visits[1].followed
    store.assess_visit(site.database, study_of(2), {"verified": followed}, version=0, made_by="ana")
    assert words not in page(site, f"/follow-up/{patient}?visit={study_of(3)}")


def test_what_has_merged_into_another_lesion_has_not_gone(site, patient):
    job = visit(site.database, site.number, 4, [sized(1, 33.0)])
    with site.database.writing() as session:
        session.execute(update(Finding).where(Finding.lesion_key == job.lesions[0].id).values(merged=["2.25.2"]))
    markup = page(site, f"/follow-up/{patient}")
    assert "GTV_MetIA_2 target 16.0 10.0 14.0 merged into GTV_MetIA_1" in text(markup)
    assert figures(markup)["diameters"]["data"][1]["y"] == [16.0, 10.0, 14.0, None]
    assert "33.0 × 26.4 18.82 holds GTV_MetIA_2 yes" in text(markup), "it is not compared with itself alone"
    visit(site.database, site.number, 5, [sized(1, 34.0)])
    assert "34.0 × 27.2 20.58 +3.03 % yes" in text(page(site, f"/follow-up/{patient}"))
    whole, merged = site.client.get(f"/patients/{patient}/timeline").get_json()["lesions"]
    assert whole["holds"] == [[]] * 3 + [["GTV_MetIA_2"]] * 2
    changes = [size["change"] for size in whole["sizes"]]
    assert changes[2:] == [
        {"mm": 6.0, "percent": 37.5, "why": ""},
        {"mm": None, "percent": None, "why": "holds GTV_MetIA_2"},
        {"mm": 1.0, "percent": 3.03, "why": ""},
    ]
    assert merged["absorbed_by"] == [None] * 3 + ["GTV_MetIA_1"] * 2, "as long as it is not seen by itself"
    visit(site.database, site.number, 6, [sized(1, 20.0), sized(2, 12.0)])
    merged = site.client.get(f"/patients/{patient}/timeline").get_json()["lesions"][1]
    assert (merged["absorbed_by"][5], merged["sizes"][5]["longest_diameter_mm"]) == (None, 12.0)


def test_many_visits_take_no_more_queries_than_few(site, patient):
    def queries():
        asked: list[str] = []

        def note(*call):
            asked.append(call[2])

        event.listen(Engine, "before_cursor_execute", note)
        page(site, f"/follow-up/{patient}")
        event.remove(Engine, "before_cursor_execute", note)
        return len(asked)

    few = queries()
    for number in range(4, 9):
        visit(site.database, site.number, number, [sized(1, 20.0), sized(2, 14.0)])
    assert 0 < queries() == few


def test_lesions_are_in_one_order(site):
    """Targets, then what is new, then the others, as in the report, which has no room for all."""
    visit(site.database, site.number, 1, [sized(1, 6.0), sized(2, 20.0)])
    visit(site.database, site.number, 2, [sized(1, 6.0), sized(2, 20.0), sized(3, 4.0)])
    drawn = figures(page(site, f"/follow-up/{patient_key(site.database)}"))
    for name in ("diameters", "volumes", "scatter"):
        assert [trace["name"] for trace in drawn[name]["data"]] == [f"GTV_MetIA_{label}" for label in (2, 3, 1)]


def test_lesions_can_be_merged_and_split_by_hand(site, patient):
    markup = page(site, f"/follow-up/{patient}")
    first, second = site.client.get(f"/patients/{patient}/timeline").get_json()["lesions"]
    assert f'<option value="{second["id"]}" data-version="1">GTV_MetIA_2' in markup
    decisions = [json.loads(html.unescape(one)) for one in re.findall(r'<option value="({[^"]*})"', markup)]
    assert decisions == [
        {"merged_into": first["id"]},
        {"merged_into": second["id"]},
        *({"split_at": study_of(number)} for number in (1, 2, 3)),
        {"merged_into": None},
    ]
    decide(site, second, **decisions[0])
    assert "GTV_MetIA_2 (the same as GTV_MetIA_1)" in text(page(site, f"/follow-up/{patient}"))


def test_lesions_set_aside_are_counted_not_shown(site, patient):
    (first, *_) = site.client.get(f"/patients/{patient}/timeline").get_json()["lesions"]
    site.client.patch(f"/lesions/{first['id']}", json={"not_a_lesion": True, "version": first["version"]})
    seen = text(page(site, f"/follow-up/{patient}"))
    assert "GTV_MetIA_1" not in seen
    assert "1 that people took for no lesion" in seen


# -- Empty states --------------------------------------------------------------------------------------------------


def test_one_visit(site):
    visit(site.database, site.number, 1, [sized(1, 20.0)])
    markup = page(site, f"/follow-up/{patient_key(site.database)}")
    assert "There is one visit so far" in text(markup)
    assert set(figures(markup)) == {"bars", "scatter"}


def test_a_baseline_with_no_visit_after_it(site, patient):
    store.assess_visit(site.database, study_of(3), {"baseline": True}, version=0, made_by="ana")
    seen = text(page(site, f"/follow-up/{patient}"))
    assert "There is no visit after the baseline so far, so there is no response yet" in seen
    assert "There is no sum to draw: that takes a visit after the baseline." in seen
    assert "Best response" not in seen


def test_no_lesion(site):
    visit(site.database, site.number, 1, [])
    seen = text(page(site, f"/follow-up/{patient_key(site.database)}"))
    assert "No lesion was found at any visit" in seen
    assert "not proof that there is none" in seen


def test_no_target(site):
    for number in (1, 2):
        visit(site.database, site.number, number, [sized(1, 6.0)])
    seen = text(page(site, f"/follow-up/{patient_key(site.database)}"))
    assert (
        "no lesion was measurable at the baseline (longest diameter at least 10 mm, or 2 x the distance between slices "
        "where that is more; perpendicular at least 5 mm; visible on at least 2 slices)" in seen
    )
    assert "non-CR/non-PD" in seen


def decide(site, lesion, **decision):
    answer = site.client.patch(f"/lesions/{lesion['id']}", json={**decision, "version": lesion["version"]})
    assert answer.status_code == 200


def test_what_people_have_called_no_lesion_was_found(site, patient):
    for lesion in site.client.get(f"/patients/{patient}/timeline").get_json()["lesions"]:
        decide(site, lesion, not_a_lesion=True)
    seen = text(page(site, f"/follow-up/{patient}"))
    assert "No lesion counts at any visit: what was found, people have called none (2)." in seen
    assert "No lesion counts at this visit: what was found, people have called none (2)." in seen
    assert "No lesion was found" not in seen
    assert "the network found" not in seen


def test_what_people_have_ruled_out_was_measurable(site):
    for number in (1, 2):
        visit(site.database, site.number, number, [sized(1, 20.0), sized(2, 6.0)])
    patient = patient_key(site.database)
    large, small = site.client.get(f"/patients/{patient}/timeline").get_json()["lesions"]
    decide(site, small, target=False)
    assert "ruled out" not in text(page(site, f"/follow-up/{patient}"))
    decide(site, large, target=False)
    seen = text(page(site, f"/follow-up/{patient}"))
    assert "people have ruled out as a target every lesion that was measurable at the baseline (longest" in seen
    assert "no lesion was measurable" not in seen


def test_without_a_date_and_without_ids(site):
    visit(site.database, site.number, 1, [sized(1, 20.0)], undated=True, patient_id=None)
    markup = page(site, f"/follow-up/{patient_key(site.database)}")
    assert "PatientID none" in text(markup)
    assert "no date" in text(markup)
    assert "not possible without a date" in text(markup)


def test_visits_that_share_a_day_or_have_none_are_told_apart_wherever_they_are_named(site, patient):
    visit(site.database, site.number, 4, [sized(1, 20.0)], day=date(2024, 4, 1))
    for number in (5, 6):
        visit(site.database, site.number, number, [sized(1, 20.0)], undated=True)
    markup = page(site, f"/follow-up/{patient}")
    days = ["2024-02-05", "2024-03-04", "3: 2024-04-01", "4: 2024-04-01", "5: no date", "6: no date"]
    assert re.findall(r"split_at[^>]*>([^<]*)<", markup) == days
    assert re.findall(r"<summary><b>([^<]*)<", markup) == days[::-1]
    assert all(f'class="number">{day}</th>' in markup for day in days)
    assert "One visit: 4: 2024-04-01" in text(markup)


def test_a_visit_without_a_date_does_not_say_where_the_patient_stands(site, patient):
    visit(site.database, site.number, 9, [sized(1, 20.0), sized(2, 12.0)], undated=True)
    seen = text(page(site, f"/follow-up/{patient}"))
    assert "Images, 2024-04-01 PD the sum of longest diameters" in seen
    assert "Without a date 1 visit has no date, and so no place in the course" in seen
    assert "One visit: 2024-04-01" in seen
    seen = text(page(site, f"/follow-up/{patient}?visit={study_of(9)}"))
    assert "20.0 × 16.0 4.19 no date yes" in seen, "nobody knows which visit lies before it"


def test_there_is_no_such_patient(site):
    assert "Patient not found" in text(page(site, "/follow-up/77", 404))


def test_there_is_no_such_visit(site, patient):
    assert "Visit not found" in text(page(site, f"/follow-up/{patient}?visit=1.2.3.99", 404))
    assert "Visit not found" in text(page(site, "/follow-up?StudyInstanceUID=1.2.3.99", 404))


# -- Search --------------------------------------------------------------------------------------------------------


def test_nobody_yet(site):
    assert "No patient yet" in text(page(site, "/follow-up"))


@pytest.fixture
def people(site):
    from tests.store_factory import finish, running_job, series_record

    for number, (name, patient_id) in enumerate([("Petit^Éloïse", "A/1"), (EVIL, "B<2>"), ("Doe^Jane", "A/12")], 1):
        study = study_of(number)
        record = series_record(
            patient_id=patient_id,
            patient_name=name,
            study_instance_uid=study,
            series_instance_uid=f"{study}.1",
            study_date=date(2024, 1, number),
        )
        job = running_job(site.database, site.number, study=study, series=f"{study}.1")
        finish(site.database, job, site.number, [sized(1, 12.0, uid=f"2.25.{number}")], series=record)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("", 3), ("eloise", 1), ("ÉLOÏSE petit", 1), ("a/1", 2), ("jane a/12", 1), ("%", 0), ("_", 0),
        ("jane eloise", 0),
    ],
)  # fmt: skip
def test_search(site, people, words, found):
    markup = site.client.get("/follow-up", query_string={"q": words}).get_data(True)
    assert len(re.findall(r'<a href="/follow-up/\d+">', markup)) == found
    if not found:
        assert "None of the 3 patients matches" in text(markup)


def test_one_patient_is_no_plural(site, patient):
    assert "The one patient there is does not match “x”" in text(page(site, "/follow-up?q=x"))
    assert "1 of 1 patient matches “doe”" in text(page(site, "/follow-up?q=doe"))


def test_a_study_leads_to_its_patient(site, people):
    answer = site.client.get(f"/follow-up?StudyInstanceUID={study_of(2)}", follow_redirects=True)
    assert "B<2>" in text(answer.get_data(True))


# -- Nothing runs that is not ours ---------------------------------------------------------------------------------


def test_names_are_no_markup(site, people):
    lesion = site.client.get("/patients/2/timeline").get_json()["lesions"][0]
    site.client.patch(f"/lesions/{lesion['id']}", json={"name": "</script>" + EVIL, "version": 1})
    for address in ("/follow-up", f"/follow-up?q={EVIL}", "/follow-up/2", f"/follow-up/2?visit={EVIL}"):
        markup = page(site, address, 404 if "visit=" in address else 200)
        assert "<script>alert" not in markup
        assert "alert(1)" in markup, "it is shown as text"
    shown = html.escape("</script>" + EVIL, quote=False)
    assert figures(page(site, "/follow-up/2"))["bars"]["data"][0]["x"] == [shown]


def test_names_are_no_markup_in_the_charts_either(site, patient):
    """Plotly makes links and bold letters of what looks like them, and undoes what is escaped once."""
    name = '<a href="https://evil.example">Report</a> & <b></b>'
    lesion = site.client.get(f"/patients/{patient}/timeline").get_json()["lesions"][0]
    site.client.patch(f"/lesions/{lesion['id']}", json={"name": name, "version": 1})
    drawn = figures(page(site, f"/follow-up/{patient}"))
    assert {"bars", "scatter", "diameters", "volumes"} <= drawn.keys()
    shown = json.dumps(drawn)
    assert "<a" not in shown
    assert "<b" not in shown
    shown_name = '&lt;a href="https://evil.example"&gt;Report&lt;/a&gt; &amp; &lt;b&gt;&lt;/b&gt;'
    assert shown_name in drawn["bars"]["data"][0]["x"]
    for chart in ("scatter", "diameters", "volumes"):
        assert shown_name in [trace["name"] for trace in drawn[chart]["data"]]


def test_no_script_in_the_page(site, patient):
    for address in ("/follow-up", f"/follow-up/{patient}"):
        answer = site.client.get(address)
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == "'self'"
        markup = answer.get_data(True)
        assert not re.search(r"<script(?![^>]*(src=|type=\"application/json\"))", markup)
        assert not re.search(r"\son\w+=", markup)


def test_logs_name_no_patient(site, people, caplog):
    caplog.set_level("DEBUG")
    page(site, "/follow-up?q=eloise")
    page(site, "/follow-up/1")
    assert "Petit" not in caplog.text


# -- Files ---------------------------------------------------------------------------------------------------------


def test_files_are_compressed_and_kept(site, patient):
    addresses = re.findall(r'(?:src|href)="(/static/[^"]+)"', page(site, f"/follow-up/{patient}"))
    assert [urlsplit(one).path.rsplit("/")[-1] for one in addresses] == [
        "follow_up.css",
        "follow_up_entries.js",
        "follow_up.js",
        "plotly.js",
        "follow_up_charts.js",
    ], "what is entered does not wait for the charts"
    for address in addresses:
        answer = site.client.get(address, headers={"Accept-Encoding": "gzip"})
        assert "immutable" in answer.headers["Cache-Control"]
        plain = site.client.get(address)
        assert gzip.decompress(answer.data) == plain.data
        assert "Content-Encoding" not in plain.headers
    assert site.client.get(f"/follow-up/{patient}", headers={"Accept-Encoding": "gzip"}).data[:2] == b"\x1f\x8b"


@pytest.mark.parametrize("name", ["none.js", "..%2Ftemplates%2Fpage.html", "follow_up.py", ".css"])
def test_files_there_are_not(site, name):
    assert site.client.get(f"/static/{name}").status_code == 404
