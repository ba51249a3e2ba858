"""Descriptions as people and vendors write them, and what they say about contrast."""

import pytest

from imaging.words import T1, contrast_words, plain, without_contrast_words

AFTER = [
    "t1_mprage_sag_p2_iso_gado",
    "3D T1 FSPGR +C",
    "Ax 3D BRAVO+C",
    "SAG CUBE T1 +C",
    "T1 inj",
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
    "T1 Dotarem",
    "T1 MPRAGE Gadovist",
    "T1 +Gd FS",
    "post gd t1 without fat sat",
    "T1 GADO SANS FS",
    "T1 post gd (postop)",
]

BEFORE = [
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
    "",
]


@pytest.mark.parametrize("description", AFTER)
def test_after_contrast(description):
    before, after = contrast_words(plain(description))
    assert after
    assert before is None


@pytest.mark.parametrize("description", BEFORE)
def test_before_contrast(description):
    before, after = contrast_words(plain(description))
    assert before
    assert after is None


@pytest.mark.parametrize("description", NEITHER)
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
