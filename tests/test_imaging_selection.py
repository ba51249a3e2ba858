"""From whole studies as scanners name them, the post-contrast T1 volume is chosen, or nothing is, with reasons."""

import copy
import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import EnhancedMRImageStorage, MRImageStorage, SecondaryCaptureImageStorage, SegmentationStorage

from imaging.protocol import Protocol
from imaging.selection import MARGIN, AmbiguousSeriesError, NoCandidateError, SeriesSummary, choose, rank
from tests import factory
from tests.present import present

GRE3D = {"ScanningSequence": "GR", "MRAcquisitionType": "3D", "SliceThickness": 1.0}
MPRAGE = GRE3D | {
    "ScanningSequence": ["GR", "IR"],
    "RepetitionTime": 2000,
    "EchoTime": 2.3,
    "InversionTime": 900,
    "n": 176,
}
SPGR = GRE3D | {"RepetitionTime": 7.4, "EchoTime": 2.9, "n": 180}
SE2D = {"ScanningSequence": "SE", "MRAcquisitionType": "2D", "SliceThickness": 5.0, "n": 25}
SE2D |= {"RepetitionTime": 500, "EchoTime": 9}
SPACE = {"ScanningSequence": "SE", "MRAcquisitionType": "3D", "SliceThickness": 0.9, "n": 192}
SPACE |= {"RepetitionTime": 700, "EchoTime": 11}
T2 = SE2D | {"RepetitionTime": 4500, "EchoTime": 98}
FLAIR = SPACE | {"ScanningSequence": ["SE", "IR"], "RepetitionTime": 5000, "EchoTime": 388, "InversionTime": 1800}
EPI = {
    "ScanningSequence": "EP",
    "MRAcquisitionType": "2D",
    "SliceThickness": 5.0,
    "RepetitionTime": 6000,
    "EchoTime": 80,
    "n": 60,
}
SWI = GRE3D | {"RepetitionTime": 28, "EchoTime": 20, "n": 72}
LOCALIZER = SPGR | {
    "MRAcquisitionType": "2D",
    "n": 9,
    "SliceThickness": 7.0,
    "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"],
}
MPR = {"ImageType": ["DERIVED", "SECONDARY", "MPR"]}


def study(*series: tuple) -> list[SeriesSummary]:
    """Make a study of (description, attributes, minute of acquisition); ``n`` is the number of instances."""
    summaries = []
    for number, (description, attributes, *minute) in enumerate(series, start=1):
        header = Dataset()
        header.SOPClassUID, header.Modality = MRImageStorage, "MR"
        header.SeriesInstanceUID, header.SeriesNumber = f"1.2.3.{number}", number
        header.SeriesDescription = description
        header.ImageType = ["ORIGINAL", "PRIMARY", "M"]
        if minute:
            moment = datetime(2024, 5, 17, 9, 0) + timedelta(minutes=minute[0])
            header.AcquisitionDate, header.AcquisitionTime = f"{moment:%Y%m%d}", f"{moment:%H%M%S}.250000"
        for keyword, value in attributes.items():
            if keyword != "n":
                setattr(header, keyword, value)
        summaries.append(SeriesSummary(header, attributes.get("n", 1)))
    return summaries


AGENT = {"ContrastBolusAgent": "Gadovist"}

STUDIES: dict[str, tuple[list[tuple[Any, ...]], int | str]] = {
    "Siemens, German, nativ and KM": (
        [
            ("localizer", LOCALIZER, 0),
            ("t2_tse_tra_512", T2, 3),
            ("ep2d_diff_3scan_trace_p2_ADC", EPI | {"ImageType": ["DERIVED", "PRIMARY", "DIFFUSION", "ADC"]}, 6),
            ("t2_space_dark-fluid_sag_p2_iso", FLAIR, 8),
            ("t1_mprage_sag_p2_iso nativ", MPRAGE, 14),
            ("t1_mprage_sag_p2_iso KM", MPRAGE, 25),
            ("t1_mprage_sag_p2_iso KM_MPR_Tra", MPRAGE | MPR | {"SliceThickness": 3.0, "n": 60}, 25),
        ],
        "t1_mprage_sag_p2_iso KM",
    ),
    "Siemens, the same name twice": (
        [
            ("AAHead_Scout", LOCALIZER, 0),
            ("t1_mprage_sag_p2_iso", MPRAGE, 5),
            ("t2_tirm_tra_dark-fluid", FLAIR | {"MRAcquisitionType": "2D", "EchoTime": 81}, 12),
            ("t1_mprage_sag_p2_iso", MPRAGE, 24),
        ],
        4,
    ),
    "Siemens, the agent tagged on every series": (
        [
            ("t1_mprage_sag", MPRAGE | AGENT, 5),
            ("t2_tse_tra", T2 | AGENT, 9),
            ("t1_mprage_sag", MPRAGE | AGENT, 24),
        ],
        3,
    ),
    "Siemens, distortion-corrected and not": (
        [
            ("t1_mprage_gado", MPRAGE | {"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "NORM"]}, 20),
            ("t1_mprage_gado", MPRAGE | {"ImageType": ["ORIGINAL", "PRIMARY", "M", "NORM", "DIS2D"]}, 20),
        ],
        2,
    ),
    "Siemens, after the perfusion": (
        [
            ("t1_mprage_tra", MPRAGE | {"SliceThickness": 2.0}, 4),
            ("ep2d_perf_p2", EPI | {"n": 1200}, 15),
            ("rCBV", EPI | {"n": 24}, 15),
            ("t1_mpr_sag_iso", MPRAGE, 19),
        ],
        "t1_mpr_sag_iso",
    ),
    "Siemens, Dixon VIBE": (
        [
            ("t1_vibe_dixon_tra_p2_post_opp", SPGR, 20),
            ("t1_vibe_dixon_tra_p2_post_F", SPGR, 20),
            ("t1_vibe_dixon_tra_p2_post_W", SPGR, 20),
        ],
        "t1_vibe_dixon_tra_p2_post_W",
    ),
    "GE, English": (
        [
            ("3 Plane Loc", LOCALIZER, 0),
            ("ASSET calibration", SPGR | {"n": 40}, 1),
            ("Ax T1 FLAIR", SE2D | {"RepetitionTime": 2100, "EchoTime": 24, "InversionTime": 860}, 4),
            ("Sag CUBE T2 FLAIR", FLAIR, 8),
            ("Ax DWI B1000", EPI, 12),
            ("Ax SWAN", SWI, 15),
            ("Ax T1 FLAIR +C", SE2D | AGENT | {"RepetitionTime": 2100, "EchoTime": 24, "InversionTime": 860}, 22),
            ("Ax 3D BRAVO +C", SPGR | AGENT, 26),
            ("ORIG: Ax 3D BRAVO +C", SPGR | AGENT, 26),
            (
                "SAG REFORMAT BRAVO +C",
                SPGR | AGENT | {"ImageType": ["DERIVED", "SECONDARY", "REFORMATTED", "AVERAGE"]},
                26,
            ),
            ("Screen Save", {"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"], "n": 2}, 30),
        ],
        "Ax 3D BRAVO +C",
    ),
    "GE, BRAVO POST beside CUBE T1": (
        [
            ("BRAVO PRE", SPGR, 5),
            ("SAG CUBE T1 POST FS", SPACE, 25),
            ("BRAVO POST", SPGR, 30),
        ],
        "BRAVO POST",
    ),
    "GE, black blood only": (
        [
            ("SAG CUBE T2", SPACE | {"EchoTime": 90, "RepetitionTime": 2500}, 5),
            ("AX T1 SE GADO", SE2D, 22),
            ("SAG CUBE T1 GADO", SPACE, 25),
        ],
        "SAG CUBE T1 GADO",
    ),
    "GE, French": (
        [
            ("REPERAGE", LOCALIZER, 0),
            ("SAG 3D T1 SANS IV", SPGR, 3),
            ("AX T2 FLAIR", T2, 8),
            ("AX DIFFUSION", EPI, 12),
            ("PERFUSION", EPI | {"n": 1000}, 20),
            ("3D T1 FSPGR INJ", SPGR, 24),
            ("AX T1 SE INJ FS", SE2D, 30),
        ],
        "3D T1 FSPGR INJ",
    ),
    "Philips, Dutch naming": (
        [
            ("Survey_SHC", LOCALIZER, 0),
            ("sT1W_3D_TFE SENSE", SPGR, 4),
            ("T2W_TSE", T2, 9),
            ("VEN_BOLD", SWI, 12),
            ("s3DI_MC_HR", SWI | {"EchoTime": 3.4}, 15),
            ("T1W_3D_TFE Gd", SPGR, 24),
            ("MPR Gd sag", SPGR | {"ImageType": ["DERIVED", "PRIMARY", "M_FFE", "M", "FFE"], "n": 90}, 24),
        ],
        "T1W_3D_TFE Gd",
    ),
    "Philips, black blood and gradient echo": (
        [
            ("3D BrainVIEW T1 VISTA +Gd BB", SPACE, 25),
            ("3D T1 TFE +Gd", SPGR, 30),
        ],
        "3D T1 TFE +Gd",
    ),
    "black blood acquired twice, gradient echo once": (
        [
            ("t1_space_sag", SPACE | AGENT, 3),
            ("t1_space_sag_km", SPACE | AGENT, 22),
            ("t1_mprage_sag_km", MPRAGE, 28),
        ],
        "t1_mprage_sag_km",
    ),
    "Philips, French": (
        [
            ("3D FLAIR", FLAIR, 3),
            ("3D T1 TFE SAG", SPGR, 9),
            ("DWI b1000", EPI, 14),
            ("3D T1 TFE SAG GADO", SPGR, 26),
            ("SOUSTRACTION", SPGR, 27),
        ],
        "3D T1 TFE SAG GADO",
    ),
    "Canon": (
        [
            ("Locator", LOCALIZER, 0),
            ("FE3D_fs5 T1 pre", SPGR, 6),
            ("T2 FSE AX", T2, 9),
            ("FE3D_fs5 T1 CE", SPGR, 21),
            ("T1 SE AX CE", SE2D, 26),
        ],
        "FE3D_fs5 T1 CE",
    ),
    "Canon, German": (
        [
            ("3D MPRAGE ohne KM", MPRAGE, 6),
            ("3D MPRAGE nach KM", MPRAGE, 21),
            ("Swi minIP", SWI, 26),
        ],
        "3D MPRAGE nach KM",
    ),
    "no word and no repetition, only the agent": (
        [("t2_tse", T2, 3), ("Sag T1 3D", SPGR | AGENT, 20)],
        "Sag T1 3D",
    ),
    "the name of the protocol says it": (
        [("t1_mprage_tra_iso", MPRAGE | {"ProtocolName": "t1_mprage_tra_iso_KM"}, 20), ("t1_se_cor", SE2D, 4)],
        "t1_mprage_tra_iso",
    ),
    "only a thick 2D series was made after contrast": (
        [("t1_mprage_sag", MPRAGE, 4), ("t1_se_tra_km", SE2D, 20)],
        "t1_se_tra_km",
    ),
    "a 3D series without a word after a 2D one with": (
        [("AX T1 SE GADO", SE2D, 20), ("SAG T1 MPRAGE", MPRAGE, 26)],
        "SAG T1 MPRAGE",
    ),
    "only a reformat was kept": (
        [("t1_mprage_sag", MPRAGE, 4), ("t1_mprage_km MPR tra", MPRAGE | MPR, 20)],
        "t1_mprage_km MPR tra",
    ),
    "thin before thick": (
        [("T1 MPRAGE post", MPRAGE | {"SliceThickness": 3.0, "n": 52}, 20), ("T1 MPRAGE cor post", MPRAGE, 25)],
        "T1 MPRAGE cor post",
    ),
    "another part of the body": (
        [("T1 MPRAGE C-SPINE POST GD", MPRAGE, 25), ("AX T1 BRAIN POST GD", SE2D, 20)],
        "AX T1 BRAIN POST GD",
    ),
    "the orbits beside the brain": (
        [("T1 3D ORBITS POST FS", SPGR, 25), ("T1 3D BRAIN POST", SPGR | {"SliceThickness": 2.0, "n": 90}, 20)],
        "T1 3D BRAIN POST",
    ),
    "repeated because the patient moved": (
        [("T1 MPRAGE +C", MPRAGE, 20), ("T1 MPRAGE +C REPEAT", MPRAGE, 26)],
        "T1 MPRAGE +C REPEAT",
    ),
    "a name without T1 but with its timing": (
        [("3D SAG GADO", SPGR, 20), ("COR T2", T2, 5)],
        "3D SAG GADO",
    ),
    "no times at all": (
        [("t1_mprage_sag", MPRAGE), ("t1_mprage_sag_gd", MPRAGE)],
        "t1_mprage_sag_gd",
    ),
}


PASL = EPI | {"ImageType": ["ORIGINAL", "PRIMARY", "ASL", "NONE"]}
PASL_MAP = EPI | {"ImageType": ["DERIVED", "PRIMARY", "ASL", "NONE"]}
INVERSION = MPRAGE | {"RepetitionTime": 5000, "EchoTime": 2.98, "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"]}
UNIFORM = {k: v for k, v in INVERSION.items() if k != "InversionTime"}
UNIFORM |= {"ImageType": ["DERIVED", "PRIMARY", "M", "ND", "UNI"]}

STUDIES |= {
    "Spanish, without and with": (
        [("SAG T1 3D SIN CONTRASTE", MPRAGE, 5), ("AX T1 SE CON CONTRASTE", SE2D, 25)],
        "AX T1 SE CON CONTRASTE",
    ),
    "Italian, without and with": (
        [("T1 3D senza mdc", MPRAGE, 5), ("T1 SE ass con mdc", SE2D, 25)],
        "T1 SE ass con mdc",
    ),
    "Chinese, without and with": ([("T1 3D平扫", MPRAGE, 5), ("T1 SE增强", SE2D, 25)], "T1 SE增强"),
    "a minus and a plus": ([("SAG T1 BRAVO -C", SPGR, 5), ("AX T1 SE +C", SE2D, 25)], "AX T1 SE +C"),
    "German, prae and without a word": (
        [("t1_mprage_sag_prae_KM", MPRAGE, 5), ("t1_se_tra_KM", SE2D, 25)],
        "t1_se_tra_KM",
    ),
    "the agent on all, a later one says after": (
        [("Sag T1 MPRAGE", MPRAGE | AGENT, 5), ("Ax T1 SE post", SE2D | AGENT, 25)],
        "Ax T1 SE post",
    ),
    "the agent on most, a later one says after": (
        [("T2 tse", T2, 2), ("Sag T1 MPRAGE", MPRAGE | AGENT, 5), ("Ax T1 SE post", SE2D | AGENT, 25)],
        "Ax T1 SE post",
    ),
    "the agent beside one that says after": (
        [("T2 tse", T2, 2), ("Ax T1 SE post", SE2D | AGENT, 20), ("Sag T1 MPRAGE", MPRAGE | AGENT, 25)],
        "Sag T1 MPRAGE",
    ),
    "MP2RAGE": (
        [
            ("t1_mp2rage_sag_KM_INV1", INVERSION | {"InversionTime": 700}, 25),
            ("t1_mp2rage_sag_KM_INV2", INVERSION | {"InversionTime": 2500}, 25),
            ("t1_mp2rage_sag_KM_UNI_Images", UNIFORM, 25),
            ("t1_mp2rage_sag_KM_T1_Images", UNIFORM | {"ImageType": ["DERIVED", "PRIMARY", "T1 MAP", "ND"]}, 25),
        ],
        "t1_mp2rage_sag_KM_UNI_Images",
    ),
    "MP2RAGE, all by one name": (
        [
            ("t1_mp2rage_KM", INVERSION | {"InversionTime": 700}, 25),
            ("t1_mp2rage_KM", INVERSION | {"InversionTime": 2500}, 25),
            ("t1_mp2rage_KM", UNIFORM, 25),
        ],
        3,
    ),
    "MP2RAGE, with and without the noise in the air": (
        [("t1_mp2rage_KM_UNI", UNIFORM, 25), ("t1_mp2rage_KM_UNI-DEN", UNIFORM, 25)],
        "t1_mp2rage_KM_UNI-DEN",
    ),
    "perfusion by labelling, then by a bolus": (
        [("ep2d_pasl", PASL, 2), ("ep2d_DSC", EPI | {"n": 1000}, 12), ("t1_mprage", MPRAGE, 18)],
        "t1_mprage",
    ),
}


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("backwards", [False, True])
def test_the_post_contrast_volume_is_chosen(name, backwards):
    series, expected = STUDIES[name]
    summaries = study(*series)
    selection = choose(summaries[::-1] if backwards else summaries)
    told = [(c.description, c.score, c.reasons, c.excluded) for c in selection.candidates]
    if isinstance(expected, int):
        assert selection.chosen.series_instance_uid == f"1.2.3.{expected}", told
    else:
        assert selection.chosen.description == expected, told
    assert selection.candidates[0] == selection.chosen
    assert len(selection.candidates) == len(series)
    assert selection.chosen.reasons


@pytest.mark.parametrize(
    ("series", "words"),
    [
        ([("t1_mprage_sag", MPRAGE, 5), ("t2_tse", T2, 9)], "no sign of contrast"),
        ([("t1_mprage_sag", MPRAGE)], "no sign of contrast"),
        ([("T1 3D pre Gd", SPGR | AGENT, 5)], "against contrast"),
        ([("T1 sans injection", SPGR, 5), ("T1 SE nativ", SE2D, 9)], "against contrast"),
        ([("Gd 3D", GRE3D | {"n": 100}, 5)], "no sign of T1"),
        ([("FLAIR post Gd", FLAIR, 20), ("T2 post Gd", T2, 25)], "None of the 2 series"),
        ([("T1 GADO SUB", SPGR, 20), ("T1 GADO MIP", SPGR, 21), ("CE MRA", SPGR, 22)], "None of the 3 series"),
        ([("Sag T1 3D", SPGR | {"ContrastBolusAgent": "NONE"}, 20)], "no sign of contrast"),
        ([("Sag T1 3D", SPGR | {"ContrastBolusAgent": "NO CONTRAST"}, 20), ("FLAIR", FLAIR, 5)], "no sign of contrast"),
        (
            [("Sag T1 3D", SPGR | {"ContrastBolusAgent": "Kein KM", "ContrastBolusVolume": 7}, 20)],
            "no sign of contrast",
        ),
        ([("T1 nativ, KM folgt", SPGR | AGENT, 5)], "against contrast"),
        ([("t1_sag", MPRAGE | {"ProtocolName": "t1_mprage nativ, KM folgt"}, 5)], "no sign of contrast"),
        ([("T1 3D", SPGR | AGENT, 5), ("T2", T2 | AGENT, 9), ("DWI", EPI | AGENT, 12)], "an agent that does not count"),
        ([("T1 3D", SPGR | AGENT), ("T2", T2 | AGENT)], "an agent that does not count"),
        ([("Sag T1 MPRAGE", MPRAGE | AGENT, 5), ("Ax T1 SE", SE2D | AGENT, 25)], "an agent that does not count"),
        (
            [
                ("ep2d_pasl", PASL, 2),
                ("Perfusion_Weighted", PASL_MAP, 3),
                ("relCBF", PASL_MAP, 3),
                ("t1_mprage_sag_p2_iso", MPRAGE, 10),
            ],
            "no sign of contrast",
        ),
        ([("WIP pCASL", EPI, 2), ("Perfusion", EPI, 3), ("sT1W_3D_TFE", SPGR, 10)], "no sign of contrast"),
        ([("Perfusion", PASL_MAP, 3), ("sT1W_3D_TFE", SPGR, 10)], "no sign of contrast"),
        ([("perf", EPI | {"SequenceName": "tgse_pasl"}, 3), ("t1_mprage", MPRAGE, 10)], "no sign of contrast"),
        ([("t1_mp2rage_KM_INV1", INVERSION, 25), ("t1_mp2rage_KM_INV2", INVERSION, 25)], "None of the 2 series"),
        ([], "None of the 0 series"),
    ],
)
def test_without_evidence_nothing_is_chosen(series, words):
    with pytest.raises(NoCandidateError, match=words) as caught:
        choose(study(*series))
    assert len(caught.value.candidates) == len(series)
    assert "SeriesInstanceUID" in str(caught.value)


@pytest.mark.parametrize(
    "series",
    [
        [("T1 MPRAGE sag post", MPRAGE, 20), ("T1 MPRAGE tra post", MPRAGE, 26)],
        [("T1 3D", SPGR | AGENT), ("T1 3D", SPGR | AGENT)],
        [("T1 MPRAGE", MPRAGE, 2), ("T1 MPRAGE", MPRAGE, 20), ("T1 MPRAGE", MPRAGE, 26)],
    ],
)
def test_a_tie_is_left_to_the_caller(series):
    with pytest.raises(AmbiguousSeriesError, match="2 series are equally good") as caught:
        choose(study(*series))
    one, two, *_ = caught.value.candidates
    assert one.score - two.score <= MARGIN
    assert one.description in str(caught.value)


EXCLUDED = [
    ("localizer", LOCALIZER, "localizer"),
    ("Scout", SPGR, "localizer"),
    ("T2 FLAIR gd", FLAIR, "FLAIR"),
    ("3D FLAIR post", FLAIR, "FLAIR"),
    ("t2_tse_tra gado", T2, "T2"),
    ("DWI", EPI, "diffusion"),
    ("ADC (10^-6 mm2/s)", EPI, "diffusion"),
    ("ep2d", EPI, "echo planar"),
    ("SWI_Images", SWI, "susceptibility"),
    ("mIP_Images(SW)", SWI, "projection"),
    ("Perfusion DSC gado", SPGR, "perfusion"),
    ("TOF 3D", SPGR, "angiography"),
    ("MRA CE", SPGR, "angiography"),
    ("T1 gado MIP", SPGR, "projection"),
    ("T1 post gd", SPGR | {"ImageType": ["DERIVED", "SECONDARY", "VRT"]}, "rendering"),
    ("T1 SUB post-pre", SPGR, "subtraction"),
    ("T1 post gd", SPGR | {"ImageType": ["DERIVED", "SECONDARY", "SUBTRACTION"]}, "subtraction"),
    ("T1 post gd", SPGR | {"ImageType": ["DERIVED", "SECONDARY", "MIP"]}, "projection"),
    ("T1 post gd", SPGR | {"ImageType": ["ORIGINAL", "PRIMARY", "P"]}, "phase"),
    *(("T1 gd", SPGR | {"ImageType": ["ORIGINAL", "PRIMARY", f"{k} MAP"]}, "map") for k in ("T1", "R2_STAR", "B1")),
    ("T1 post gd", SPGR | {"ImageType": ["ORIGINAL", "PRIMARY", "I_FFE", "I", "FFE"]}, "imaginary"),
    ("Screenshot", SPGR, "screen"),
    ("T1 post gd", SPGR | {"SOPClassUID": SecondaryCaptureImageStorage}, "Secondary Capture"),
    ("T1 post gd", SPGR | {"PhotometricInterpretation": "RGB"}, "picture"),
    ("T1 map gd", SPGR, "map"),
    ("T1 post gd", SPGR | {"n": 2}, "2 slice"),
    ("T1 post gd", SPGR | {"EchoTime": 90}, "echo time 90"),
    ("T1 post gd", SPGR | {"NumberOfTemporalPositions": 40}, "40 time points"),
    ("T1 post gd", SPGR | {"BodyPartExamined": "LSPINE"}, "LSPINE"),
    ("STIR cor gd", SE2D, "inversion recovery"),
    ("PD tra gd", SE2D, "proton density"),
    ("MetIA GTV", {"Modality": "SEG", "SOPClassUID": SegmentationStorage}, "SEG"),
    ("T1 post gd report", {"Modality": "SR"}, "SR"),
    ("RTSTRUCT T1 gd", {"Modality": "RTSTRUCT"}, "RTSTRUCT"),
    ("T1 gd", {"Modality": "PR"}, "PR"),
    ("T1 gd", {"Modality": "CT", "n": 200}, "CT"),
    ("ASSET", SPGR, "calibration"),
    ("Asset Cal", SPGR, "calibration"),
    ("T1 NECK +C", SPGR, "another part"),
    ("mp2rage INV2 gd", SPGR, "inversions"),
    *(
        (f"T1 {part} Gd", SPGR, "another part")
        for part in (
            *("lombaire", "Halswirbelsäule", "colonna", "rygg", "kręgosłup"),
            *("позвоночник", "шейный отдел", "颈椎", "경추", "prostate", "L-SP"),
        )
    ),
    ("T1 post gd", SPGR | {"BodyPartExamined": "BREAST"}, "BREAST"),
    *((f"T1 Gd {made}", SPGR, "made of other images") for made in ("fused", "overlay", "segmentation", "difference")),
    ("T1 Gd GRASP", SPGR, "dynamic"),
    ("PosDisp: [5] t1_se_tra KM", SPGR, "screen capture"),
    ("CEMRA Gd", SPGR, "angiography"),
    ("MTR Gd", SPGR, "map"),
    ("bSSFP Gd", SPGR, "T2-weighted"),
    ("T1 DISCO Gd", SPGR, "dynamic"),
    *((name, SPGR, "Dixon") for name in ("t1_vibe_dixon_F KM", "mDIXON-OP Gd", "T1 FLEX out +C")),
]


@pytest.mark.parametrize(("description", "attributes", "reason"), EXCLUDED)
def test_what_is_never_chosen_says_why(description, attributes, reason):
    good = ("T1 MPRAGE post gd", MPRAGE, 30)
    candidates = rank(study((description, attributes | AGENT, 20), good))
    assert candidates[0].description == good[0]
    assert candidates[0].excluded is None
    assert reason in present(candidates[1].excluded)
    assert candidates[1].score == 0


@pytest.mark.parametrize(
    "description",
    [
        *("sub-001_T1post", "T1 FLAIR +C", "T1 double dose gd", "t1_fl3d_FA20 km"),
        *("Ax T1 FSPGR ASSET +C", "BRAVO ASSET +C", "T1 +C HEAD NECK", "T1 Kopf Hals KM"),
        *(
            "T1 medulloblastoma +C",
            "T1 +C SP",
            "T1 Deep Resolve +C",
            "T1 MPRAGE WE KM",
            "T1 AutoAlign KM",
            "T1 rectangular FOV +C",
            "T1 fusion +C",
            "t1_vibe_dixon_W KM",
            "mDIXON-W Gd",
        ),
    ],
)
def test_look_alikes_are_not_excluded(description):
    assert choose(study((description, SPGR, 20))).chosen.description == description


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
@pytest.mark.parametrize("keyword", ["NumberOfTemporalPositions", "NumberOfFrames"])
@pytest.mark.parametrize("value", [b"abc ", b"1\\2 ", b"1e400 ", b"nan ", b"\\ "])
def test_a_count_that_is_no_number_ends_no_choice(keyword, value):
    series = study(("T1 post gd", SPGR, 20))
    tag = Tag(keyword)
    series[0].header[tag] = RawDataElement(tag, "IS", len(value), value, 0, False, True)
    assert choose(series).chosen.description == "T1 post gd"


def test_an_agent_on_all_series_without_times_is_not_that_of_the_one_that_says_nothing():
    series = study(("3D BRAVO", SPGR | AGENT), ("AX T1 SE POST GD", SE2D | AGENT))
    assert choose(series).chosen.description == "AX T1 SE POST GD"
    assert "every series of the study carries it" in rank(series)[1].reasons[-2]


@pytest.mark.parametrize(
    "said",
    [
        {"StudyDescription": "MRI LUMBAR SPINE W/WO CONTRAST"},
        {"StudyDescription": "MRT Abdomen"},
        {"StudyDescription": "PET MR whole body"},
        {"StudyDescription": "MRI neck soft tissue"},
        {"StudyDescription": "요추 MRI"},
        {"StudyDescription": "IRM rachis entier"},
        {"ProtocolName": "C-SPINE W/WO"},
        {"BodyPartExamined": "PROSTATE"},
    ],
)
def test_what_is_said_of_the_examination_says_which_part_of_the_body_it_is(said):
    ((keyword, text),) = said.items()
    with pytest.raises(NoCandidateError) as caught:
        choose(study(("SAG T1 FS POST", SPGR | said, 20)))
    assert f"'SAG T1 FS POST': of another part of the body ({keyword} {text})." in str(caught.value)


def test_of_many_series_that_can_never_be_chosen_three_are_told():
    with pytest.raises(
        NoCandidateError, match=r"'Scout': a localizer \(.*\); 'DWI': diffusion \(.*; and 2 more\. Name"
    ):
        choose(study(("Scout", SPGR), ("DWI", EPI), ("ADC", EPI), ("SWI", SWI), ("TOF", SPGR)))


@pytest.mark.parametrize(
    ("description", "said"),
    [
        ("T1 brain +C", {"BodyPartExamined": "CHEST"}),
        ("AX T1 POST BRAIN", {"StudyDescription": "MRI CERVICAL SPINE"}),
        ("AX BRAVO POST", {"StudyDescription": "MRI CERVICAL SPINE"}),
        ("T1 +C", {"StudyDescription": "MRI BRAIN AND C-SPINE"}),
        ("T1 KM", {"StudyDescription": "MRT Neurokranium und HWS"}),
        ("T1 +C", {"StudyDescription": "breast ca, mets?"}),
        ("T1 +C", {"StudyDescription": "Mammakarzinom, Filiae"}),
        ("T1 +C", {"StudyDescription": "renal cell carcinoma"}),
        ("T1 +C", {"StudyDescription": "Ca mammae"}),
        ("T1 +C", {"StudyDescription": "頭部・脊髄MRI"}),
        ("T1 +C", {"StudyDescription": "Medulloblastoma"}),
        ("T1 +C", {"BodyPartExamined": "HEADNECK", "ProtocolName": "t1_mprage_sag"}),
    ],
)
def test_a_name_that_says_head_goes_before_another_part_and_a_primary_is_no_part(description, said):
    assert choose(study((description, SPGR | said, 20))).chosen.description == description


@pytest.mark.parametrize("seconds", [0, 40])
def test_reconstructions_of_one_acquisition_are_no_repetition(seconds):
    with pytest.raises(NoCandidateError):
        choose(study(("t1_mprage", MPRAGE, 5), ("t1_mprage", MPRAGE, 5 + seconds / 60)))


@pytest.mark.parametrize("treatment", ["SRS", "GK", "RT", "op"])
def test_before_and_after_a_treatment_is_before_and_after_contrast_in_one_study(treatment):
    series = study((f"AX T1 PRE {treatment}", SPGR, 5), (f"AX T1 POST {treatment}", SPGR, 15))
    assert choose(series).chosen.series_instance_uid == "1.2.3.2"


@pytest.mark.parametrize("kinds", [["FAT", "OPP_PHASE", "WATER"], ["F", "OP", "W"], ["OUT_PHASE", "FAT", "IN_PHASE"]])
def test_fat_and_opposed_phase_of_a_dixon_series_are_no_candidates(kinds):
    series = [
        ("t1_vibe_dixon_tra_KM", SPGR | {"ImageType": ["DERIVED", "PRIMARY", "DIXON", kind]}, 10) for kind in kinds
    ]
    assert choose(study(*series)).chosen.series_instance_uid == "1.2.3.3"


@pytest.mark.parametrize(
    "names",
    [
        ["FAT: Ax T1 FLEX +C", "OutPhase: Ax T1 FLEX +C", "WATER: Ax T1 FLEX +C"],
        ["sF mDIXON T1 +C", "t1_vibe_dixon_KM_opp", "sW mDIXON T1 +C"],
        ["T1 IDEAL +C fat", "Out of phase: T1 +C", "Fat Sat Ax T1 +C"],
    ],
)
def test_so_are_those_whose_names_say_it(names):
    series = study(*((name, SPGR, 10) for name in names))
    assert choose(series).chosen.series_instance_uid == "1.2.3.3"


@pytest.mark.parametrize("name", ["Ax T1 FLEX +C post op", "t1_vibe_dixon_KM nach OP", "T1 IDEAL +C preop"])
def test_an_operation_is_no_opposed_phase(name):
    assert choose(study((name, SPGR, 10))).chosen.description == name


def test_before_a_treatment_is_not_before_contrast():
    series = study(("AX T1 PRE SRS", SPGR | AGENT, 5), ("AX T2", T2, 15))
    assert choose(series).chosen.series_instance_uid == "1.2.3.1"


def test_the_same_protocol_a_minute_later_is_a_repetition():
    series = study(("t1_mprage", MPRAGE, 5), ("t1_mprage", MPRAGE, 6))
    assert choose(series).chosen.series_instance_uid == "1.2.3.2"


def test_another_plane_is_no_repetition():
    axial, sagittal = ({"ImageOrientationPatient": o} for o in ([1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, -1]))
    with pytest.raises(NoCandidateError):
        choose(study(("t1_mprage", MPRAGE | axial, 5), ("t1_mprage", MPRAGE | sagittal, 15)))


@pytest.mark.parametrize(("second", "repeated"), [([1, 0, 0, 0, 1, 0], True), ([0, 1, 0, 0, 0, -1], False)])
def test_the_plane_of_enhanced_images_counts_too(second, repeated):
    series = []
    for hour, orientation in ((9, [1, 0, 0, 0, 1, 0]), (10, second)):
        header = factory.multi_frame(contrast_agent=None, series_description="T1 3D")
        header.SOPClassUID, header.SeriesInstanceUID = EnhancedMRImageStorage, f"1.2.{hour}"
        header.AcquisitionDateTime = f"20240517{hour:02}0000"
        for frame in header.PerFrameFunctionalGroupsSequence:
            frame.PlaneOrientationSequence = [Dataset()]
            frame.PlaneOrientationSequence[0].ImageOrientationPatient = orientation
        series.append(SeriesSummary(header, 1))
    reasons = [reason for candidate in rank(series) for reason in candidate.reasons]
    assert any("acquired 60 min before" in reason for reason in reasons) is repeated


def test_an_orientation_that_is_none_says_nothing():
    """Seen in images that were anonymised or converted: a value too few."""
    whole, short = ({"ImageOrientationPatient": o} for o in ([1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 1]))
    ranked = rank(study(("t1_mprage", MPRAGE | whole, 5), ("t1_mprage", MPRAGE | short, 15)))
    assert any("same protocol was acquired 10 min before" in reason for reason in ranked[0].reasons)


@pytest.mark.parametrize(("longer", "chosen"), [(1.09, True), (1.2, False)])
def test_how_far_the_timing_of_one_protocol_may_differ(longer, chosen):
    later = MPRAGE | {"RepetitionTime": 2000 * longer}
    ranked = rank(study(("t1_mprage", MPRAGE, 5), ("t1_mprage", later, 15)))
    assert any("same protocol was acquired 10 min before" in reason for reason in ranked[0].reasons) is chosen


def test_what_is_called_native_is_not_chosen_whatever_else_speaks_for_it():
    later = ("t1_mprage nativ", MPRAGE | AGENT, 15)
    with pytest.raises(NoCandidateError):
        choose(study(("t1_mprage nativ", MPRAGE, 5), ("DSC perfusion", EPI, 10), later))


@pytest.mark.parametrize(
    ("timing", "weighted"),
    [
        ({"RepetitionTime": 15, "EchoTime": 10}, True),
        ({"RepetitionTime": 100, "EchoTime": 4}, False),
        ({"RepetitionTime": 2000, "EchoTime": 3, "InversionTime": 1500}, True),
        ({"RepetitionTime": 6000, "EchoTime": 3, "InversionTime": 2500}, False),
    ],
)
def test_which_timing_makes_a_gradient_echo_t1_weighted(timing, weighted):
    (candidate,) = rank(study(("3D", GRE3D | timing | {"n": 176})))
    assert any("a T1 gradient echo" in reason for reason in candidate.reasons) is weighted


@pytest.mark.parametrize(
    ("description", "attributes", "excluded"),
    [
        ("one", SE2D | {"EchoTime": 49}, False),
        ("one", SE2D | {"EchoTime": 50}, True),
        ("one", SPGR | {"EchoTime": 12}, True),
        ("T1", SPGR | {"EchoTime": 12}, False),
        ("one", SPGR | {"n": 3}, False),
        ("one", SPGR | {"n": 2}, True),
    ],
)
def test_from_where_on_a_series_is_excluded(description, attributes, excluded):
    (candidate,) = rank(study((description, attributes)))
    assert (candidate.excluded is not None) is excluded


def test_what_lies_on_the_border_of_two_classes():
    (candidate,) = rank(study(("T1", SPGR | {"SliceThickness": 1.3, "n": 120})))
    assert {"+10: slices of 1.3 mm", "+6: 120 slices"} <= set(candidate.reasons)


def test_of_several_repetitions_the_first_tells_since_when():
    ranked = rank(study(*(("t1_mprage", MPRAGE, minute) for minute in (5, 15, 25))))
    assert any("acquired 20 min before" in reason for candidate in ranked for reason in candidate.reasons)
    near = rank(study(("t1_mprage", MPRAGE, 5), ("t1_mprage", MPRAGE, 5.5)))
    assert not any("again later" in reason for candidate in near for reason in candidate.reasons)


def test_the_acquisition_not_the_series_says_when():
    """Reformatted images have the time at which they were made as that of their series."""
    header = Dataset()
    header.StudyDate, header.SeriesTime, header.AcquisitionTime = "20250102", "113000", "101112.5"
    assert Protocol(header, 1).acquired == datetime(2025, 1, 2, 10, 11, 12)


def test_an_arterial_spin_labelling_is_no_injection():
    with pytest.raises(NoCandidateError):
        choose(study(("ASL perfusion", SPGR, 5), ("t1_mprage", MPRAGE, 15)))


def test_a_header_of_arterial_spin_labelling_is_no_injection():
    perfusion = ("perfusion", EPI | {"ArterialSpinLabelingContrast": "PULSED"}, 5)
    with pytest.raises(NoCandidateError):
        choose(study(perfusion, ("t1_mprage", MPRAGE, 15)))


def test_an_agent_that_does_not_count_says_why():
    on_all = rank(study(("T1 3D", SPGR | AGENT, 5), ("T2", T2 | AGENT, 9)))
    assert "contrast agent Gadovist does not count: every series of the study carries it" in on_all[0].reasons
    early = rank(study(("T2", T2, 2), ("T1 3D", SPGR | AGENT, 5), ("T1 post", SE2D, 20)))[1]
    assert "contrast agent Gadovist does not count: 'T1 post' is the first series named so" in early.reasons


def test_an_enhanced_multi_frame_is_judged_by_its_functional_groups():
    header = factory.multi_frame(contrast_agent=None, series_description="T1 3D post Gd")
    header.SOPClassUID = EnhancedMRImageStorage
    timing, echo, kind = Dataset(), Dataset(), Dataset()
    timing.RepetitionTime, echo.EffectiveEchoTime, kind.AcquisitionContrast = 7.4, 2.9, "T1"
    shared = header.SharedFunctionalGroupsSequence[0]
    shared.MRTimingAndRelatedParametersSequence = [timing]
    shared.MREchoSequence, shared.MRImageFrameTypeSequence = [echo], [kind]
    flair = copy.deepcopy(header)
    flair.SeriesInstanceUID = "1.2.3"
    flair.SharedFunctionalGroupsSequence[0].MRImageFrameTypeSequence[0].AcquisitionContrast = "FLUID_ATTENUATED"
    selection = choose([SeriesSummary(flair, 1), SeriesSummary(header, 1)])
    assert selection.chosen.series_instance_uid == header.SeriesInstanceUID
    assert any("AcquisitionContrast T1" in reason for reason in selection.chosen.reasons)
    assert "FLAIR" in present(selection.candidates[1].excluded)


def test_the_functional_groups_of_an_enhanced_multi_frame_tell_its_timing():
    header = factory.multi_frame(contrast_agent=None)
    for keyword in ("RepetitionTime", "InversionTime", "EchoTime", "SliceThickness", "AcquisitionDateTime"):
        if keyword in header:
            del header[keyword]
    shared = header.SharedFunctionalGroupsSequence[0]
    timing, modifier, content, echo = Dataset(), Dataset(), Dataset(), Dataset()
    timing.RepetitionTime, modifier.InversionTimes, echo.EffectiveEchoTime = 7.4, [900.0], 2.9
    content.FrameAcquisitionDateTime = "20250102101112"
    shared.MRTimingAndRelatedParametersSequence, shared.MRModifierSequence = [timing], [modifier]
    shared.MREchoSequence = [echo]
    shared.PixelMeasuresSequence[0].SliceThickness = 1.25
    header.PerFrameFunctionalGroupsSequence[0].FrameContentSequence = [content]
    protocol = Protocol(header, 1)
    assert (protocol.repetition_time, protocol.inversion_time, protocol.slice_thickness) == (7.4, 900.0, 1.25)
    assert protocol.echo_time == 2.9
    assert protocol.acquired == datetime(2025, 1, 2, 10, 11, 12)


def test_the_series_of_the_factory_is_chosen():
    pre = factory.series_datasets(contrast_agent=None, series_description="T1 MPRAGE", series_number=3)
    post = factory.series_datasets(study_time="123000")
    selection = choose([SeriesSummary(pre[0], len(pre)), SeriesSummary(post[0], len(post))])
    assert selection.chosen.series_instance_uid == post[0].SeriesInstanceUID
    assert selection.chosen.number_of_instances == len(post)


def test_candidates_go_into_json_with_dicom_keywords():
    selection = choose(study(("T1 MPRAGE post gd", MPRAGE | AGENT, 30), ("DWI", EPI, 20)))
    answer = json.loads(json.dumps(selection.to_json()))
    assert answer["chosen"]["SeriesDescription"] == "T1 MPRAGE post gd"
    assert answer["chosen"] == answer["candidates"][0]
    assert answer["chosen"]["excluded"] is None
    assert "+40: contrast agent Gadovist" in answer["chosen"]["reasons"]
    assert answer["candidates"][1]["excluded"].startswith("diffusion")


def test_an_empty_header_is_survived():
    header = Dataset()
    header.SeriesInstanceUID, header.Modality = "1.2.3", "MR"
    for keyword in (
        "ImageType",
        "EchoTime",
        "RepetitionTime",
        "ContrastBolusAgent",
        "AcquisitionTime",
        "SeriesDescription",
    ):
        setattr(header, keyword, None)
    candidate = rank([SeriesSummary(header, 100)])[0]
    assert candidate.excluded is None
    assert "no sign of contrast" in candidate.reasons
