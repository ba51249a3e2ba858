"""What people call their series, in English, French and German: the words that say "contrast" and "T1".

Descriptions are typed by hand and by vendors: ``t1_mprage_sag_p2_iso_gado``, ``3D T1 FSPGR +C``, ``axT1 GD``,
``T1 nach KM``, ``T1 sans inj``. ``plain`` makes them all into words with single spaces between them; the tables
below are regular expressions on those.
"""

import re
import unicodedata

Pattern = re.Pattern[str]

_SEQUENCES = "mp2rage|mprage|fspgr|spgr|bravo|vibe|lava|thrive|space|cube|vista|flair|tfe"
_BEFORE_T = "axial|sagittal|coronal|ax|sag|cor|tra|tse|se|fs|[23]d|iso|vol|fl|gre|ir|s|e"

_TAKE_APART: tuple[tuple[Pattern, str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"_", " "),
        (r"\bw ?/ ?w/?o\b|\+ ?/ ?-|±", " with and without "),
        (r"\bw/o\b", " without "),
        (r"\bw/", " with "),
        (r"\b(c|ce|gd|gado?|km|iv|inj)-(?![a-z0-9])", r" without \1 "),
        (r"&", " and "),
        (r"t2 ?\*", " t2star "),
        (r"[^a-z0-9+]", " "),
        (rf"\b((?:{_BEFORE_T})*)t([12])(?!\d|star)w?", r" \1 t\2 "),
        (r"(?<!\d)([23])d", r" \1d "),
        (rf"({_SEQUENCES})", r" \1 "),
        (r" +", " "),
    )
)


def plain(text: str) -> str:
    """Return a description as lower-case words without accents, run-together names taken apart."""
    text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).casefold()  # nachKM, postGd
    for pattern, replacement in _TAKE_APART:
        text = pattern.sub(replacement, text)
    return text.strip()


_AGENT = (
    r"gd|gd ?dtpa|gad\w*|dotarem|dotagraf|dotagita|magnevist|prohance|multihance|clariscan|omniscan"
    r"|elucirem|vueway|primovist|artirem"
)
_CONTRAST = rf"(?:{_AGENT}|contrast\w*|kontrast\w*|km\w*|ce|cm|c|iv|i v|inj\w*|pdc|enh\w*|con)"
_FILLERS = r"(?: (?:iv|i v|the|de|d|l|produit))*"
# "post" and "pre" also go with operations and treatments, the posterior fossa, and saturation bands.
_NOT_TREATMENT = (
    r"(?! ?(?:op\b|oper\w*|surg\w*|chir\w*|rt\b|tx\b|radio\w*|treat\w*|therap\w*|trait\w*|bestrahl\w*|fossa|proc\w*"
    r"|res\w*|sat\b))"
)

# Says both, so nothing: the name of a whole protocol rather than of a series.
_WITH, _WITHOUT = "(?:with|w|avec|mit|post|nach|apres|after)", "(?:without|wo|sans|ohne|pre|vor|avant|before)"
_BOTH = re.compile(
    rf"\b(?:{_WITH}(?: (?:and|et|und))? {_WITHOUT}|{_WITHOUT}(?: (?:and|et|und))? {_WITH})\b(?: {_CONTRAST}\b)*"
)

_BEFORE = re.compile(
    rf"\b(?:without|wo|w o|sans|ss|ohne|o|non?|not|kein\w*|avant|vor|before|pre){_FILLERS} {_CONTRAST}\b"
    r"|\bpre(?:contrast\w*|kontrast\w*|gd|gad\w*|km\w*|inj\w*|c)\b"
    r"|\bnon?(?:contrast\w*|con|gd|gad\w*|enh\w*|inj\w*)\b"
    r"|\bunenhanced\b|\bnat(?:iv(?:e|es|er|em)?)?\b"
    r"|\b(?:without|wo|sans|ohne)$"
    rf"|\b(?:pre|avant){_NOT_TREATMENT}\b"
)

_AFTER = re.compile(
    rf"\b(?:post|apres|nach|after|with|avec|mit|ap){_FILLERS} {_CONTRAST}\b"
    rf"|\+ ?(?:{_CONTRAST}|k)\b"
    r"|\b(?:c|ce|gd|gado?|km|iv|k|inj) ?\+"
    r"|\bpost(?:contrast\w*|kontrast\w*|gd|gad\w*|km\w*|inj\w*|c)\b"
    rf"|\b(?:{_AGENT})\b"
    r"|\b[nmp]?km(?:gabe)?\b|\bkontrast\w*\b|\bcontrast\w*\b"
    rf"|\b(?:t1|{_SEQUENCES}|se|tse|fse) (?:fs )?c\b|\bce\b"
    r"|\benh(?:anced)?\b|\binj(?:ect\w*)?\b"
    r"|\b(?:with|avec|mit)$"
    rf"|\b(?:post\d?|apres|nach){_NOT_TREATMENT}\b"
)


def contrast_words(words: str) -> tuple[str | None, str | None]:
    """Return the words that say "before contrast" and those that say "after contrast", None where there are none.

    Parameters
    ----------
    words
        A description that has gone through ``plain``.
    """
    words = _BOTH.sub(" | ", words)
    before = _BEFORE.search(words)
    after = _AFTER.search(_BEFORE.sub(" | ", words))
    return (before.group().strip() if before else None, after.group().strip() if after else None)


def without_contrast_words(words: str) -> str:
    """Return what is left of a description when the words about contrast are gone: the protocol's name."""
    for pattern in (_BOTH, _BEFORE, _AFTER):
        words = pattern.sub(" ", words)
    return " ".join(words.split())


T1 = re.compile(r"\bt1\b")
GRADIENT_ECHO_3D = re.compile(
    r"\b(?:mp ?rage|mp2rage|mpr|bravo|fspgr|spgr|tfe|tfl|efgre|vibe|lava|thrive|quick 3d|fe 3d|ffe 3d|3d ffe|3d fe)\b"
)
BLACK_BLOOD = re.compile(
    r"\b(?:space|cube|vista|mvox|isofse|black ?blood|bb|msde|motsa|dante|sang noir|3d tse|3d fse)\b"
)
FAT_SUPPRESSED = re.compile(r"\b(?:fs|fat ?sat|spir|spair|dixon|flex|ideal|fettsat\w*|sat graisse)\b")
SMALL_FIELD = re.compile(
    r"\b(?:orbit\w*|sella\w*|selle|hypophys\w*|pituit\w*|iac|cai|iam|khbw|felsenbein\w*|rocher\w*|cavernous)\b"
)
REFORMATTED = re.compile(r"\b(?:mpr|reformat\w*|rfmt|recon\w*|rekon\w*|mpvr)\b")
REPEATED = re.compile(r"\b(?:repeat\w*|rpt|repet\w*|wdh|wiederhol\w*)\b")
UNCORRECTED = re.compile(r"^orig\b")
CONTRAST_DYNAMIC = re.compile(r"^(?!.*\b(?:p?c?asl|asl\w*)\b).*\b(?:dsc|dce|pwi|perf|perfusion\w*)\b")
