"""What people call their series: plain words of it, and those that say "contrast" and "T1".

Descriptions are typed by hand and by vendors: ``t1_mprage_sag_p2_iso_gado``, ``3D T1 FSPGR +C``, ``axT1 GD``,
``T1 nach KM``, ``T1 sans inj``. ``plain`` makes them all into words with single spaces between them; the tables
below are regular expressions on those, made of the words in ``vocabulary``.
"""

import re
import unicodedata

from imaging import vocabulary as v

Pattern = re.Pattern[str]

_SEQUENCES = "mp2rage|mprage|fspgr|spgr|bravo|vibe|lava|thrive|space|cube|vista|flair|tfe"
_BEFORE_T = "axial|sagittal|coronal|ax|sag|cor|tra|tse|se|fs|[23]d|iso|vol|fl|gre|ir|s|e"
_LETTERS = str.maketrans({"ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d", "ı": "i"} | dict.fromkeys("‐‑‒–—−", "-"))

_TAKE_APART: tuple[tuple[Pattern, str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"_", " "),
        (r"\bw ?/ ?w ?/? ?o(?:ut)?\b|\bc ?/ ?s\b|\+ ?/ ?-|±", " with and without "),
        (r"\bw ?/ ?o(?:ut)?\b|\b[su] ?/", " without "),  # s/ contraste, u/ kontrast
        (r"\b[wcm] ?/", " with "),
        (r"\bp\. ?c\b", " post c "),
        (r"\b(c|ce|gd|gado?|km|iv|inj)-(?![a-z0-9])", r" without \1 "),
        # A hyphen that joins ("T1-Gd") is none of these: a minus has no word right before it, but in "T1-C".
        (rf"(?<![^\s(\[,;:/])-(?=(?:{v.TELLING}|iv|k|c)\b(?! ?\+))", " minus "),
        (r"(?<=\s)- (?=c\b(?! ?\+))", " minus "),
        (rf"\b(t1w?|{_SEQUENCES}|t?se|fse|fs)-(?=c\b(?! ?\+))", r" \1 minus "),
        (rf"(?<=\s)- (?=(?:{v.TELLING})\b(?! ?\+))", " dash "),  # a minus or a dash, nobody knows
        (r"&", " and "),
        (r"т(?=[12])", "t"),
        (r"t2 ?\*", " t2star "),
        (r"[^\w+]", " "),
        (r"([^\x00-\x7f]+)", r" \1 "),
        (rf"({v.UNSPACED_BEFORE}|{v.UNSPACED_AFTER})", r" \1 "),
        (rf"\b((?:{_BEFORE_T})*)t([12])(?!\d|star)w?", r" \1 t\2 "),
        (r"(?<!\d)([23])d", r" \1d "),
        (rf"({_SEQUENCES})", r" \1 "),
        (r" +", " "),
        (rf"\b({v.TELLING}) (?:{v.AFTER_BEHIND})\b", r"post \1"),
    )
)


def plain(text: str) -> str:
    """Return a description as lower-case words without accents, run-together names taken apart."""
    text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    text = unicodedata.normalize("NFC", text)  # Korean syllables in one piece again
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).casefold().translate(_LETTERS)  # nachKM, postGd
    for pattern, replacement in _TAKE_APART:
        text = pattern.sub(replacement, text)
    return text.strip()


_NOT_TREATMENT = rf"(?! ?(?:{v.TREATMENT}))"
_POST = r"post\d?|apres|nach"
_PRE = "pre|prae|pra|avant|antes"

# Says both, so nothing: the name of a whole protocol rather than of a series. "Con" is also short for contrast.
_WITH, _WITHOUT = f"(?:w|z|{v.AFTER})", f"(?:{v.BEFORE})"
_BOTH = re.compile(
    r"\b(?!(?:pre|prior|before|without|wo) con\b)"
    rf"(?:{_WITH}(?: (?:{v.AND}))* {_WITHOUT}|{_WITHOUT}(?: (?:{v.AND}))* {_WITH})\b"
    rf"(?:{v.FILLERS} {v.CONTRAST}\b)*"
    rf"|\b(?:{v.UNSPACED_BEFORE})(?: \S+)? (?:{v.UNSPACED_AFTER})\b"
)

_NOT_CONTRAST = re.compile(rf"\b(?:{v.NOT_CONTRAST})\b")

_BEFORE = re.compile(
    rf"\b(?:{v.BEFORE}|{v.NONE}|{v.BEFORE_LETTERS}){v.FILLERS} {v.CONTRAST}\b"
    rf"|\b(?:{v.BEFORE}|{v.NONE}|o|v){v.JOINED}\b|\b(?:pre|non?)c(?:on)?\b|\bn c\b"
    rf"|(?<!\b\d )(?<!\b\d\d )\b0 {v.JOINED}\b"  # not the end of "1.0 KM"
    rf"|\b(?:{v.TELLING}) (?:neg\w*|free|frei|none|nein|nil|off|{v.BEFORE_BEHIND}|non?$|0(?: 0)*(?: ml)?$)\b"
    rf"|\b(?:[ck]ontrast\w*?|km|gd){v.WITHOUT_ENDING}\b"
    rf"|\b(?:{v.NATIVE})\b"
    rf"|\b(?:without|wo|sans|ohne|sin|senza|sem|zonder|uten|utan|uden|bez){v.NOTHING_MORE}"
    rf"|\b(?:{_PRE}){_NOT_TREATMENT}\b"
    rf"|\b(?:{v.UNSPACED_BEFORE})\b"
)

_WITH_AGENT = re.compile(rf"\b(?:{v.AFTER}|{v.AFTER_LETTERS}){v.FILLERS} {v.CONTRAST}\b|\b{v.AFTER_SLAVIC}\b")

# An agent behind a short word that is not known: it may be "without" in a language that is not in the vocabulary.
_UNSURE = re.compile(
    rf"(?<!\S)(dash|(?!(?:{v.AFTER}|{v.AFTER_LETTERS}|{v.NO_PREPOSITION}|{v.TELLING})\b)"
    rf"(?:[a-z]|(?=[a-z]*[aeiouy])[a-z]{{2,3}}|[^\W\da-z]+))(?: (?:{v.TELLING}))+\b(?! ?\+)"
    rf"|\b{v.INFLECTED}"
)

_AFTER = re.compile(
    rf"\+ ?(?:{v.CONTRAST}|k)\b"
    r"|\b(?:c|ce|gd|gado?|km|ivc?|k|inj|ку|с) ?\+|\+ ?с\b"
    rf"|\b(?:{v.AFTER}){v.JOINED}\b|\bpostc(?:on)?\b"
    rf"|\b(?:{v.TELLING})\b"
    rf"|\b(?:t1|{_SEQUENCES}|se|tse|fse) (?:fs )?c\b"
    r"|\b(?:with|avec|mit)$|\b(?:single|double|triple) dose\b"
    rf"|\b(?:{_POST}){_NOT_TREATMENT}\b"
    rf"|\b(?:{v.UNSPACED_AFTER})\b"
)

_BEFORE_OR_AFTER = re.compile(rf"\b(?:{_PRE}|{_POST})\b")

# What a field for the contrast agent says when there was none, or when nobody knew.
_NO_AGENT = re.compile(
    rf"(?:{v.BEFORE}|{v.NONE}|unknown|unbekannt|inconnu\w*|not applicable)\b.*|na?|n a|0+(?: 0+)*(?: ?(?:ml|cc|mmol))?|"
)


def contrast_words(words: str) -> tuple[str | None, str | None]:
    """Return the words that say "before contrast" and those that say "after contrast", None where there are none.

    Parameters
    ----------
    words
        A description that has gone through ``plain``.
    """
    words = _NOT_CONTRAST.sub(" | ", _BOTH.sub(" | ", words))
    before = _BEFORE.search(words)
    words = _BEFORE.sub(" | ", words)
    after = _WITH_AGENT.search(words) or _AFTER.search(_UNSURE.sub(r"\1 |", words))
    return (before.group().strip() if before else None, after.group().strip() if after else None)


def without_contrast_words(words: str) -> str:
    """Return what is left of a description when the words about contrast are gone: the protocol's name.

    So is "before" and "after" a treatment: of two series of one study it can only be meant of the contrast.
    """
    for pattern in (_BOTH, _BEFORE, _WITH_AGENT, _UNSURE, _AFTER, _BEFORE_OR_AFTER):
        words = pattern.sub(" ", words)
    return " ".join(words.split())


def names_no_agent(words: str) -> bool:
    """Return whether the words of a field for the contrast agent say that there was none."""
    return _NO_AGENT.fullmatch(words) is not None or contrast_words(words)[0] is not None


T1 = re.compile(r"\bt1\b")
GRADIENT_ECHO_3D = re.compile(
    r"\b(?:mp ?rage|mp2rage|mpr|bravo|fspgr|spgr|tfe|tfl|efgre|vibe|lava|thrive|quick 3d|fe 3d|ffe 3d|3d ffe|3d fe)\b"
)
BLACK_BLOOD = re.compile(
    r"\b(?:space|cube|vista|mvox|isofse|black ?blood|bb|msde|motsa|dante|sang noir|3d tse|3d fse)\b"
)
FAT_SUPPRESSED = re.compile(r"\b(?:fs|fat ?sat|spir|spair|dixon|flex|ideal|fettsat\w*|sat graisse)\b")
REFORMATTED = re.compile(r"\b(?:mpr|reformat\w*|rfmt|recon\w*|rekon\w*|mpvr)\b")
REPEATED = re.compile(r"\b(?:repeat\w*|rpt|repet\w*|wdh|wiederhol\w*)\b")
UNCORRECTED = re.compile(r"^orig\b")
MP2RAGE = re.compile(r"\bmp2rage\b")
UNIFORM = re.compile(r"\buni(?:form)?\b")
DENOISED = re.compile(r"\b(?:uni ?den|denoised)\b")
ARTERIAL_SPIN_LABELLING = re.compile(r"\b(?:[a-z]{0,3}asl|asl\w*|arterial spin|spin label\w*|tgse)\b")
PERFUSION = re.compile(r"\b(?:pwi|perf|perfusion\w*)\b")
CONTRAST_DYNAMIC = re.compile(r"\b(?:dsc|dce)\b")
