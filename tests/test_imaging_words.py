"""Descriptions as people and vendors write them, and what they say about contrast."""

import pytest

from imaging.words import T1, contrast_words, names_no_agent, plain, without_contrast_words

AFTER = [
    "t1_mprage_sag_p2_iso_gado",
    "3D T1 FSPGR +C",
    "Ax 3D BRAVO+C",
    "SAG CUBE T1 +C",
    "T1 inj",
    *(
        "T1 POST 3D",
        "T1 post 1 mm iso",
        "T1 POST PLANNING",
        "T1 post 5 min",
        "post infusion T1",
        "T1 post radial VIBE",
        "T1 double dose",
    ),
    "T1 injecté",
    "3D T1 EG INJ",
    "T1 après injection",
    "T1 apres gado",
    "SAG 3D T1 GADO",
    "T1 AVEC GADOLINIUM",
    "3DT1 IV+",
    "T1 nach KM",
    "T1 nachKM",
    "t1_mprage_tra_KM",
    "T1 TSE tra +KM",
    "T1 m. KM",
    "t1_space_sag_mKM",
    "T1 nach Kontrastmittel",
    "T1 MPRAGE post Kontrast",
    "T1 nach Gd",
    "axT1 GD",
    "T1Gd",
    "T1w_3D_TFE_Gd",
    "sT1W_3D_TFE GADO",
    "BRAVO POST",
    "MPRAGEpost",
    "T1postGd",
    "t1_mpr_sag_post",
    "T1 POST-CONTRAST",
    "T1 postcontrast",
    "AX T1 POST",
    "T1 POST2",
    "T1 w/ contrast",
    "T1 W CONTRAST",
    "T1 with gad",
    "T1ce",
    "T1CE",
    "t1c",
    "T1 C+",
    "3D T1 (C+)",
    "CE T1 3D",
    "T1 contrast enhanced",
    "T1 enhanced",
    "T1 Gd (enhanced conversion)",
    "T1 Dotarem",
    "T1 MPRAGE Gadovist",
    "T1 +Gd FS",
    "post gd t1 without fat sat",
    "T1 GADO SANS FS",
    "T1 post gd (postop)",
    "T1 kontrastlı",
    "T1 kontrast sonrası",
    "T1 pärast kontrasti",
    "T1 nakon kontrasta",
    "T1 poslije kontrasta",
    "T1 pēc kontrasta",
    "T1 su kontrastu",
    "T1 axial kontrast",
    "sT1W_3D_TFE_SENSE_GD",
]

BEFORE = [
    *("AX T1 w/o 3D", "T1 W/O SAG", "T1 basale tra", "T1 ohne sag", "T1 sans ax 1 mm"),
    "without contrast",
    "T1 w/o contrast",
    "T1 W/O",
    "T1 WO GAD",
    "AX T1 WO",
    "pre gd",
    "T1 preGd",
    "T1 PRE",
    "T1 PRE-CONTRAST",
    "t1_mprage_sag_pre",
    "precontrast T1",
    "non-contrast T1",
    "T1 noncontrast",
    "T1 NON CON",
    "no contrast T1",
    "unenhanced T1",
    "sans injection",
    "T1 sans inj",
    "T1 SANS GADO",
    "T1 ss IV",
    "T1 avant injection",
    "T1 avant gado",
    "T1 non injecté",
    "3D T1 C-",
    "T1_GD-",
    "T1 IV-",
    "nativ",
    "T1 tra nativ",
    "T1 native",
    "t1_mprage_nativ",
    "ohne KM",
    "T1 o. KM",
    "T1 oKM",
    "T1 vor KM",
    "T1 vor Kontrastmittelgabe",
    "T1 ohne Gd",
    "T1 kontrastlos",
    "T1 kontrastmittelgabefrei",
    "T1 contrastmedialess",
    "T1 contrastless",
    "T1 Gd off",
    "T1 kontrastsız",
    "T1 KONTRASTSIZ",
    "T1 kontrast öncesi",
    "T1 kontrastita",
    "T1 kontrastivaba",
    "T1 enne kontrasti",
    "T1 prije kontrasta",
    "T1 pirms kontrasta",
    "T1 prieš kontrastą",
]

NEITHER = [
    "t1_mprage_sag_p2_iso",
    "SAG 3D T1",
    "Ax FSPGR 3D",
    "T1 posterior fossa",
    "T1 post fossa",
    "T1 postop",
    "T1 POST OP",
    "T1 post radiotherapy",
    "T1 post-surgery",
    "T1 nach OP",
    "T1 post SRS",
    "T1 pre SRS",
    *("T1 post radiation", "T1 post irradiation", "T1 nach RTX", "T1 post proton therapy", "T1 post ablation"),
    *(
        "T1 post steroids",
        "T1 post cycle 2",
        "T1 post 3 months",
        "T1 nach 6 Wochen",
        "T1 post lobectomy",
        "T1 pre SEEG",
    ),
    *("T1 post tumor resection", "T1 post coiling", "T1 post intervention", "T1 nach Exzision", "T1 pre saturation"),
    "T1 post WBRT",
    "AX T1 POST GK",
    "T1 nach Gamma-Knife",
    "T1 post CyberKnife",
    "T1 post immunotherapy",
    "T1 post craniotomy",
    "T1 pre biopsy",
    "T1 post mortem",
    "T1 post recon",
    "T1 après chirurgie",
    "T1 pre-op",
    "T1 preop",
    "T1 presat",
    "MRI BRAIN W WO CONTRAST",
    "BRAIN W/WO",
    "Brain with and without contrast",
    "IRM sans et avec injection",
    "Kopf ohne und mit KM",
    "T1 +/- gado",
    "T1 pre and post",
    "T1 sans FS",
    "T1 without fatsat",
    "3D T1 TFE SENSE",
    "T1W_SE",
    "T1 FLAIR",
    "C-spine T1",
    "t1_se_cor",
    "T1 space sag",
    "T1 sense contrast",  # Catalan: without; or Philips's SENSE, and contrast
    "T1 ljabez kontrasta",  # whatever it means in front of an inflected word
    "T1 3D (enhanced conversion)",
    "T1 Enhanced Multi-frame",
    "T1 MPRAGE AI-enhanced",
    "T1 edge enhanced",
    "",
]


# Language: before contrast, after it, nothing about it.
BY_LANGUAGE: dict[str, tuple[list[str], list[str], list[str]]] = {
    "English": (
        [
            "T1 minus contrast",
            "T1 w/out contrast",
            "T1 withoutcontrast",
            "T1 W/O CE",
            "T1 prior to contrast",
            "T1 scan before Gd",
            "T1 contrast-free",
            "T1 MPRAGE Gd neg",
            "T1 Gd: none",
            "T1 no IV contrast",
            "T1 with no contrast",
            "T1 unenh",
            "T1 PRE CON",
            "T1 W/O CON",
            "T1 without the use of contrast",
            "T1 N/C",
        ],
        ["T1 withcontrast", "T1 w/ Gd", "T1 POST CON", "T1 p.c.", "T1 following contrast", "T1 MPRAGE p. c."],
        ["T1 with/without contrast", "T1 W/WOUT contrast", "T1 zzyzx", "T1 basal ganglia"],
    ),
    "German": (
        [
            "T1 prä KM",
            "T1 PräKM",
            "t1_mprage_sag_prae_KM",
            "T1 v. KM",
            "T1_mprage_vKM",
            "t1_vkm",
            "t1_mprage_vorKM",
            "t1_vorkm",
            "T1 0 KM",
            "t1_tse_0_KM",
            "T1 kein KM",
            "T1 ohne i.v. KM",
            "T1 ohne Gabe von KM",
            "T1 SE nativ vor KM",
            "T1 kontrastmittelfrei",
        ],
        ["T1 n. KM", "T1 nach i.v. KM", "T1 mit Kontrast", "t1_mprage_1.0_KM", "T1 2,0 mm KM", "MPRAGE-KM", "T1 p.KM"],
        ["T1 vor/nach KM", "T1 ohne + mit KM", "T1 vor Bestrahlung"],
    ),
    "French": (
        [
            "T1 MPRAGE natif",
            "T1 pas de gado",
            "T1 sans produit de contraste",
            "T1 avant l'injection",
            "T1 non injectée",
            "T1 SANS",
        ],
        ["T1 après injection de gado", "T1 avec produit de contraste", "T1 IV GADO", "T1 EG GADO"],
        ["T1 avant/après gado", "T1 sans puis avec injection"],
    ),
    "Spanish": (
        [
            "SAG T1 3D SIN CONTRASTE",
            "MPRAGE SIN GD",
            "T1 sin medio de contraste",
            "T1 antes de contraste",
            "T1 antes gado",
            "T1 previo a contraste",
            "T1 s/ contraste",
            "t1 s/gado",
            "T1 S/C",
            "T1 sin CIV",
            "T1 precontraste",
            "T1 basal",
            "T1 no contrastado",
        ],
        [
            "AX T1 SE CON CONTRASTE",
            "T1 con gado",
            "T1 CIV",
            "T1 con C.I.V.",
            "T1 tras contraste",
            "T1 poscontraste",
            "T1 c/ contraste",
            "T1 después de contraste",
        ],
        ["T1 sin y con contraste", "T1 c/s contraste", "T1 s gado"],
    ),
    "Italian": (
        ["T1 senza contrasto", "T1 senza mdc", "T1 senza m.d.c.", "T1 senza mezzo di contrasto", "T1 prima di mdc"],
        ["T1 con mdc", "T1 MDC", "T1 dopo mdc", "T1 con m.d.c.", "T1 dopo contrasto", "T1 post-mdc"],
        ["T1 senza e con mdc"],
    ),
    "Portuguese": (
        ["T1 sem contraste", "T1 sem gadolínio", "T1 antes do contraste", "T1 não contrastado", "T1 pré-contraste"],
        ["T1 com contraste", "T1 pós contraste", "T1 após gadolínio", "T1 C/C", "T1 pós-Gd"],
        ["T1 sem e com contraste"],
    ),
    "Dutch": (
        ["T1 zonder contrast", "T1 zonder Gd", "T1 voor contrast", "T1 geen contrast", "T1 zonder"],
        ["T1 met contrast", "T1 na contrast", "T1 na Gd", "T1 met gado"],
        ["T1 zonder en met contrast", "T1 voor/na gado"],
    ),
    "Nordic": (
        [
            "T1 uten kontrast",
            "T1 utan kontrast",
            "T1 uden kontrast",
            "T1 u/ kontrast",
            "T1 før kontrast",
            "T1 innan Gd",
            "T1 ingen kontrast",
            "T1 ilman Gd",
        ],
        ["T1 med kontrast", "T1 etter kontrast", "T1 efter Gd", "T1 m/kontrast"],
        ["T1 uten og med kontrast", "T1 utan/med Gd"],
    ),
    "Polish and Czech": (
        ["T1 bez kontrastu", "T1 bez Gd", "T1 przed kontrastem", "T1 před Gd", "T1 bez podania środka kontrastowego"],
        ["T1 z kontrastem", "T1 po kontraście", "T1 po podaniu Gd", "T1 s kontrastem", "T1 po Gd"],
        ["T1 bez i z kontrastem", "T1 před a po kontrastu"],
    ),
    "Chinese and Japanese": (
        ["T1平扫", "T1 平掃", "T1 未增强", "T1增强前", "頭部T1造影前"],
        ["T1 增强", "头颅T1增强", "Ax T1 增強", "T1增强后", "T1 造影後", "T1 注射后"],
        ["T1 平扫+增强", "T1 平扫及增强", "头颅T1", "T1 无Gd"],
    ),
    "Russian and Ukrainian": (
        ["T1 без контраста", "T1 до КУ", "Т1 нативная", "T1 без Gd", "BRAVO до Gd", "T1 до введения контраста"],
        ["T1 с контрастом", "Т1 ПОСЛЕ КОНТРАСТА", "T1+КУ", "T1 с КУ", "T1 С+", "T1 +С", "T1 Гадовист", "T1 після Gd"],
        ["T1 до и после контраста", "T1 аксиальная", "T1 до операции"],
    ),
    "Greek": (
        ["T1 χωρίς σκιαγραφικό", "T1 πριν σκιαγραφικό", "T1 άνευ Gd"],
        ["T1 με σκιαγραφικό", "T1 μετά σκιαγραφικό", "T1 μετά Gd", "T1 μετά από έγχυση"],
        ["T1 πριν και μετά σκιαγραφικό"],
    ),
    "Korean": (
        ["T1 조영전", "T1 조영 전", "T1 비조영", "조영제 전 T1"],
        ["T1 조영증강", "조영 후 T1", "T1 조영후", "T1조영", "T1 조영제 후"],
        ["뇌 T1", "T1 조영전 조영후"],
    ),
    "Indonesian and Vietnamese": (
        ["T1 tanpa kontras", "T1 sebelum kontras", "T1 trước tiêm", "T1 không tiêm thuốc"],
        ["T1 dengan kontras", "T1 setelah kontras", "T1 sau tiêm", "T1 có thuốc"],
        [],
    ),
    "Hungarian, where it stands behind": (
        ["T1 kontraszt nélkül", "T1 kontrasztanyag nélkül", "T1 Gd nélkül", "T1 kontrasztanyag előtt"],
        ["T1 kontrasztanyag után", "T1 Gd után", "T1 kontrasztos"],
        [],
    ),
    "Finnish, Estonian, Lithuanian and Romanian": (
        [
            "T1 ilman tehostetta",
            "T1 ennen tehostetta",
            "T1 kontrastaineta",
            "T1 be kontrasto",
            "T1 fără subst. de contrast",
        ],
        ["T1 tehosteella", "T1 cu substanță de contrast"],
        [],
    ),
    "in signs": (
        [
            "Ax T1 -C",
            "SAG T1 BRAVO -C",
            "AX T1 - C",
            "AX BRAVO -Gd",
            "T1 (-Gd)",
            "T1 −Gd",
            "T1_-KM",
            "T1 -gado",
            "T1-C",
        ],
        ["T1-C+", "T1-Gd", "MPRAGE-KM", "3D-T1-GD", "T1 post-C", "AX-GADO", "T1 - C+", "T1 - post KM", "T1 -Gd+"],
        ["T1 - gado", "T1 MPRAGE - KM", "T1 +/-C"],
    ),
    "a language that nobody has entered": (
        [],
        [],
        ["T1 ללא Gd", "BRAVO بدون Gd", "T1 bej Gd", "T1 aj gado", "T1 x KM", "T1 post op aj gado"],
    ),
    "short words that are no prepositions": (
        [],
        [
            "Ax Gd",
            "t1_tse_tra_km",
            "T1 FS Gd",
            "T1 GRE GADO",
            "vibe iso KM",
            "T1 GK Gd",
            "T1 nach OP KM",
            "T1 basal cistern Gd",
            "mp2rage uni KM",
            "T1 p2 Gd",
        ],
        [],
    ),
}


def _of_all_languages(kind: int) -> list[str]:
    return [name for names in BY_LANGUAGE.values() for name in names[kind]]


@pytest.mark.parametrize("description", AFTER + _of_all_languages(1))
def test_after_contrast(description):
    before, after = contrast_words(plain(description))
    assert after
    assert before is None


@pytest.mark.parametrize("description", BEFORE + _of_all_languages(0))
def test_before_contrast(description):
    before, after = contrast_words(plain(description))
    assert before
    assert after is None


@pytest.mark.parametrize("description", NEITHER + _of_all_languages(2))
def test_nothing_about_contrast(description):
    assert contrast_words(plain(description)) == (None, None)


@pytest.mark.parametrize(
    ("description", "words"),
    [
        ("t1_mprage_sag_p2_iso_gado", "t1 mprage sag p2 iso gado"),
        ("axT1 GD", "ax t1 gd"),
        ("3DT1", "3d t1"),
        ("sT1W_3D_TFE", "s t1 3d tfe"),
        ("T2*", "t2star"),
        ("T1 après injection", "t1 apres injection"),
        ("MPRAGEpost", "mprage post"),
        ("mDIXON", "m dixon"),
        ("post2", "post2"),
        ("头颅T1增强", "头颅 t1 增强"),
        ("T1 før", "t1 for"),
        ("3D-T1-GD", "3d t1 gd"),
    ],
)
def test_plain_words(description, words):
    assert plain(description) == words


@pytest.mark.parametrize("description", ["T1", "axT1", "t1w", "sT1W_3D", "T1Gd", "3DT1", "SAG_T1_SE", "T1-weighted"])
def test_t1_is_seen(description):
    assert T1.search(plain(description))


@pytest.mark.parametrize("description", ["T2", "T12-L1", "post1", "T10", "FLAIR"])
def test_t1_is_not_imagined(description):
    assert not T1.search(plain(description))


@pytest.mark.parametrize(
    "description", ["t1_mprage_sag_gado", "t1 mprage sag", "T1 MPRAGE SAG pre Gd", "T1_MPRAGE_sag +C"]
)
def test_a_protocol_is_the_same_with_and_without_contrast(description):
    assert without_contrast_words(plain(description)) == "t1 mprage sag"


@pytest.mark.parametrize(
    "agent",
    [
        *(
            "",
            "-",
            "no",
            "none",
            "N/A",
            "NO CONTRAST",
            "Without contrast",
            "NONE GIVEN",
            "No IV contrast",
            "Non-contrast",
        ),
        *("Unenhanced", "native", "0", "0 ml", "0.0 ml", "Gadovist 0 ml", "not applicable", "unknown", "-Gd"),
        *("keine", "Kein KM", "ohne KM", "nein", "aucun", "Non injecté", "sans", "sin", "SIN CONTRASTE", "ninguno"),
        *("nessuno", "senza mdc", "nenhum", "sem contraste", "geen", "zonder", "ingen", "uten kontrast", "brak", "bez"),
        "平扫",
    ],
)
def test_a_field_for_the_agent_says_that_there_was_none(agent):
    assert names_no_agent(plain(agent))


@pytest.mark.parametrize(
    "agent",
    ["Gadovist", "Gd", "yes", "0.1 ml/kg Gadovist", "7.5 ml", "10 ml Dotarem", "Gadovist 1.0", "20", "KM", "IV"],
)
def test_a_field_for_the_agent_names_one(agent):
    assert not names_no_agent(plain(agent))
