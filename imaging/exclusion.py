"""What can never be the post-contrast T1 volume of a head, and what to call it instead."""

import re

from pydicom.uid import UID, EnhancedMRImageStorage, LegacyConvertedEnhancedMRImageStorage, MRImageStorage

from imaging.body_parts import BRAIN_SEQUENCE, HEAD, NECK, OTHER_PART
from imaging.geometry import MINIMUM_SLICES
from imaging.protocol import Protocol
from imaging.vocabulary import CONTRAST
from imaging.words import T1, plain

_IMAGES = (MRImageStorage, EnhancedMRImageStorage, LegacyConvertedEnhancedMRImageStorage)

_IMAGE_TYPES = {
    "LOCALIZER": "a localizer",
    "MIP": "a maximum intensity projection",
    "MAX_IP": "a maximum intensity projection",
    "MIN IP": "a minimum intensity projection",
    "MINIP": "a minimum intensity projection",
    "PROJECTION IMAGE": "a projection",
    "DIFFUSION": "diffusion",
    "ADC": "diffusion",
    "TRACEW": "diffusion",
    "FA": "diffusion",
    "PERFUSION": "perfusion",
    "ASL": "perfusion",
    "SUB": "a subtraction",
    "SUBTRACT": "a subtraction",
    "SUBTRACTION": "a subtraction",
    "MODULUS SUBTRACT": "a subtraction",
    "COMPLEX SUBTRACT": "a subtraction",
    "SCREEN SAVE": "a screen capture",
    "SCREENSAVE": "a screen capture",
    "SWI": "susceptibility-weighted",
    "P": "a phase image",
    "PHASE": "a phase image",
    "PHASE MAP": "a phase image",
    "I": "an imaginary part",
    "IMAGINARY": "an imaginary part",
    "VELOCITY MAP": "angiography",
    "FF": "a fat image of a Dixon series",
    "FAT_FRACTION": "a fat image of a Dixon series",
    "VRT": "a rendering",
    "VOLREND": "a rendering",
    "FAT": "a fat image of a Dixon series",
    "F": "a fat image of a Dixon series",
    "OPP_PHASE": "an opposed-phase image of a Dixon series",
    "OUT_PHASE": "an opposed-phase image of a Dixon series",
    "OP": "an opposed-phase image of a Dixon series",
}

_ACQUISITION_CONTRASTS = {
    "DIFFUSION": "diffusion",
    "PERFUSION": "perfusion",
    "FLUID_ATTENUATED": "FLAIR",
    "T2": "T2-weighted",
    "T2_STAR": "T2*-weighted",
    "PROTON_DENSITY": "proton density",
    "TOF": "angiography",
    "TIME_OF_FLIGHT": "angiography",
    "PHASE_CONTRAST": "angiography",
}

_UNLESS_T1 = rf"^(?!.*{T1.pattern}).*"
_UNLESS_HEAD = rf"^(?!.*{HEAD.pattern}).*"

# The first that fits is told. Patterns are on words made plain.
_NAMES: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        (
            "a localizer",
            r"\b(?:loc|locali[sz]\w*|lokali[sz]\w*|scouts?|survey|topogr\w*|reperage|3 ?plan\w*|plan ?scan|smart ?brain"
            r"|pilot|ubersicht|uebersicht)\b",
        ),
        (
            "a calibration",
            r"\b(?:calib\w*|asset cal\w*|ref(?:erence)? scan|sense ref|coil ?(?:survey|sens\w*)|b[01] ?map"
            r"|field ?map\w*|shim\w*)\b|^asset$",
        ),
        (
            "a screen capture or a report",
            r"\b(?:screen ?(?:saves?|shots?|cap\w*)|pos ?disp|snapshots?|captures?|phoenix ?zip ?report|phoenix\w*"
            r"|dose ?report|report|rapport|bericht|key images?)\b",
        ),
        ("a subtraction", r"\b(?:sub(?! ?\d)|subs|subtr\w*|soustr\w*)\b"),
        (
            "a rendering, or made of other images",
            r"\b(?:vrt|render\w*|fused|fusioniert|overlays?|masks?|differen[cz]\w*|segmented|segmentation\w*|contours?"
            r"|annot\w*|colou?r\w*)\b",
        ),
        ("an intensity projection", r"\b(?:m ?ips?|min ?ip|max ?ip|projection\w*)\b"),
        (
            "diffusion",
            r"\b(?:dwi\w*|dti\w*|diff|diffusion\w*|e?adc|dadc|tracew?|b ?(?:500|800|1000|1200|1500|2000)"
            r"|col ?fa|hardi|ivim|(?<!deep )resolve|tensor)\b",
        ),
        (
            "perfusion or another dynamic series",
            r"\b(?:perf|perfusion\w*|dsc|dce|pwi|r?cb[vf]|mtt|ttp|tmax|p?c?asl|ktrans|dyn\w*|twist|tricks"
            r"|grasp|disco|4d|(?:test|care) ?bolus|bolus track\w*)\b",
        ),
        ("functional MR", r"\b(?:f ?mri|bold|resting|irmf)\b"),
        ("spectroscopy", r"\b(?:mrs|mrsi|spectro\w*|spektro\w*|svs|csi)\b"),
        (
            "susceptibility-weighted",
            r"\b(?:swi\w*|swan|swp|qsm|ven ?bold|ha?emo\w*|heme|mgre|pha(?:se)? ima\w*|t2star)\b",
        ),
        (
            "angiography",
            r"\b(?:tof|(?:ce)?mr[av]|arm|mr ?angio\w*|angio\w*|veno\w*|phlebo\w*|phase contrast|inhance|s?3di mc\w*"
            r"|willis|carotid\w*|troncs)\b",
        ),
        (
            "a parametric map",
            r"\b(?:u?maps?|mapit|magic|synt?hetic|relaxo\w*|t1 rho|molli|mrac|mtr|cest|aptw?|elasto\w*)\b",
        ),
        ("of another part of the body", OTHER_PART.pattern),
        ("of another part of the body", _UNLESS_HEAD + NECK.pattern),
        ("one of the inversions of which an MP2RAGE is made", r"\binv ?[12]\b"),
        ("FLAIR", _UNLESS_T1 + r"\b(?:flair|dark ?fluid|tirm)\b"),
        ("FLAIR", r"\bt2 (?:\w+ )*flair\b"),
        (
            "T2-weighted",
            _UNLESS_T1
            + r"\b(?:t2|ciss|cosmic|fiesta|b ?ffe|b ?tfe|b?ssfp|dess|medic|merge|drive|haste|ssfse|trufi|fisp)\b",
        ),
        ("proton density", _UNLESS_T1 + r"\b(?:pd|pdw|dp|rho)\b"),
        ("an inversion recovery of another weighting", _UNLESS_T1 + r"\b(?:stir|dir|psir)\b"),
        (
            "a fat or opposed-phase image of a Dixon series",
            r"\b(?:m?dixon|flex|ideal)\b.*\b(?:f|fat|opp|out|(?<!post )(?<!pre )(?<!nach )(?<!vor )op)"  # no operation
            rf"(?:[ +]+{CONTRAST})*$"
            r"|^(?:fat(?! ?s)|(?:out|opp\w*) (?:of )?phase)\b|\bs? ?f m ?dixon\b",
        ),
    )
)


def exclusion(protocol: Protocol) -> str | None:
    """Return why a series can never be the post-contrast T1 volume, or None."""
    header = protocol.header
    modality = str(header.get("Modality") or "unknown")
    if modality != "MR":
        return f"modality {modality}, not MR"
    sop_class = UID(str(header.get("SOPClassUID") or MRImageStorage))
    if sop_class not in _IMAGES:
        return f"{sop_class.name}, not MR images"
    photometric = str(header.get("PhotometricInterpretation") or "MONOCHROME2")
    if photometric != "MONOCHROME2" or str(header.get("BurnedInAnnotation") or "") == "YES":
        return f"a picture ({photometric}), not measured values"
    for kind in protocol.image_type:
        if kind in _IMAGE_TYPES or kind.endswith((" MAP", "_MAP")):
            return f"{_IMAGE_TYPES.get(kind, 'a parametric map')} (ImageType {kind})"
    for name, pattern in _NAMES:
        if found := pattern.search(protocol.words):
            return f"{name} ('{found.group().split()[-1]}' in '{protocol.description}')"
    if (contrast := protocol.acquisition_contrast) in _ACQUISITION_CONTRASTS:
        return f"{_ACQUISITION_CONTRASTS[contrast]} (AcquisitionContrast {contrast})"
    return _by_acquisition(protocol) or _by_examination(protocol)


def _by_acquisition(protocol: Protocol) -> str | None:
    header, echo_time = protocol.header, protocol.echo_time
    if "EP" in protocol.sequence:
        return "echo planar: diffusion, perfusion or functional MR"
    if str(header.get("AngioFlag") or "") == "Y" or "TOF" in (header.get("SequenceVariant") or ()):
        return "angiography (AngioFlag, SequenceVariant)"
    if protocol.number_of_time_points > 1:
        return f"a dynamic series of {protocol.number_of_time_points} time points"
    if echo_time is not None and echo_time >= 50:
        return f"T2-weighted (echo time {echo_time:g} ms)"
    gradient = "GR" in protocol.sequence and "SE" not in protocol.sequence
    if gradient and echo_time is not None and echo_time >= 12 and not T1.search(protocol.words):
        return f"T2*-weighted (gradient echo at {echo_time:g} ms)"
    if protocol.number_of_slices < MINIMUM_SLICES:
        return f"{protocol.number_of_slices} slice(s): no volume"
    return None


def _by_examination(protocol: Protocol) -> str | None:
    """Look at what is said of the whole examination, or was left as it was for the patient before.

    The series' own name goes before it.
    """
    if BRAIN_SEQUENCE.search(protocol.words):
        return None
    for keyword in ("BodyPartExamined", "ProtocolName", "StudyDescription"):
        text = str(protocol.header.get(keyword) or "")
        said = plain(text)
        if (OTHER_PART.search(said) or NECK.search(said)) and not HEAD.search(f"{protocol.words} {said}"):
            return f"of another part of the body ({keyword} {text})"
    return None
