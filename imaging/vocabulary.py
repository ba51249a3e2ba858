"""The words of radiographers for "contrast", "with", "without", language by language, as parts of regular expressions.

They are written as ``imaging.words.plain`` leaves them: lower case, no accents.
A word that is missing here must not make a series without contrast look like one with it; so a short unknown word
in front of "Gd" or "contrast" is taken for an unknown preposition, and such a name says nothing.
"""

from typing import NamedTuple


class Language(NamedTuple):
    """Prepositions that say that there is contrast, those that say that there is none, and words for "no"."""

    after: str
    before: str
    none: str


LANGUAGES = {
    "latin": Language("post|pos", "pre|prae|pra", "non"),
    "english": Language("with|after|following", "without|wo|before|prior", r"no|not|none|minus|zero|nil"),
    "french": Language("avec|apres|ap", "sans|ss|avant", r"aucun\w*|pas"),
    "german": Language("mit|nach", "ohne|vor", r"kein\w*|nein|nicht"),
    "spanish": Language("con|despues|tras", "sin|antes|previo", r"ningun\w*"),
    "italian": Language("con|dopo", "senza|prima", r"nessun\w*"),
    "portuguese": Language("com|apos", "sem|antes", r"nenhum\w*|nao"),
    "dutch": Language("met|na", "zonder|voor", "geen|niet"),
    "nordic": Language("med|etter|efter", "uten|utan|uden|for|fore|innan|inden|ilman|ennen", "ingen|inget|intet|ikke"),
    "slavic": Language("ze|po|nakon|poslije|posle", "bez|brez|przed|pred|prije", r"brak|nie|zadn\w*|nema"),
    "baltic": Language("ar|su|pec|parast", "pirms|pries|be|enne", "nera|ei"),
    "romanian": Language("cu|dupa", "fara|inainte", "niciun"),
    "russian and ukrainian": Language("с|со|после|з|із|після", "без|до|перед", "нет|не|ні|немає"),
    "greek": Language("με|μετα", "χωρισ|ανευ|πριν|προ", "οχι|δεν"),
    "indonesian": Language("dengan|dgn|setelah|sesudah", "tanpa|sebelum", "tidak"),
    "vietnamese": Language("co|sau", "truoc|khong", "chua"),
}

AFTER = "|".join(language.after for language in LANGUAGES.values())
BEFORE = "|".join(language.before for language in LANGUAGES.values())
NONE = "|".join(language.none for language in LANGUAGES.values())

# "s" is "without" in Spanish and "with" in Czech: it says nothing, but as "s/" (see ``plain``).
AFTER_LETTERS = "w|m|z"
BEFORE_LETTERS = r"w o|o|(?<!\bi )v"  # not the v of i.v.
# "s" with the ending of "with" in Slavic languages: s kontrastem, s kontrastom.
AFTER_SLAVIC = r"s kontrast(?:em|om|nim|ni)\w*"

# Endings that say "without" (German, English, Estonian, Turkish), and what stands behind (Turkish: before; Hungarian:
# without, before, after; in front of the agent the last is the Swedish "without").
WITHOUT_ENDING = r"(?:free|frei|los|less|ita|ineta|ivaba|siz)\w*"
BEFORE_BEHIND = r"oncesi\w*|nelkul\w*|elott\w*"
AFTER_BEHIND = r"utan\w*"
# With such an ending "contrast" stands behind a preposition, of whichever language; in Catalan "sense" is "without".
INFLECTED = r"(?:[^\W\d]{4,8} kontrast(?:a|e|i|it|o|u|y)|sense contrast)\b"

AND = r"and|und|et|puis|y|e|ed|en|og|och|i|a|or|ou|oder|o|и|та|και|\+"

AGENT = (
    r"gd|gd ?dtpa|gd ?dota|gad\w*|dotarem|dotagraf|dotagita|dotavision|cyclolux|magnevist|prohance|multihance"
    r"|clariscan|pixxoscan|omniscan|elucirem|vueway|primovist|artirem"
    r"|гад\w*|магневист\w*|дотарем\w*|омнискан\w*|примовист\w*"
)
# What says by itself that there is contrast; mdc: mezzo di contrasto, civ: contraste intravenoso.
TELLING = (
    rf"{AGENT}|contrast\w*|kontras\w*|(?:[nmp] ?)?km(?:gabe)?|m ?d ?c|c ?i ?v|ce|enh(?:anced)?"
    r"|inj(?:ect\w*)?|inyect\w*|iniett\w*|tehost\w*|контраст\w*|ку|σκιαγρ\w*|εγχυσ\w*|tiem(?: thuoc)?|thuoc|doi quang"
)
# What says so only beside one of the words above.
CONTRAST = rf"(?:{TELLING}|km\w*|cm|c|iv|i v|inj\w*|inyec\w*|iniez\w*|pdc|k ?l|enh\w*|con)"
JOINED = r"(?:contrast\w*|kontras\w*|gd|gad\w*|km\w*|mdc|inj\w*|enh\w*)"

FILLERS = (
    r"(?: (?:iv|i v|the|any|use|of|to|de|del|della|di|da|do|du|d|l|la|el|il|al|a|van|von|av|produit|produto|medio"
    r"|mezzo|meio|medium|subst\w*|agent\w*|admin\w*|ammin\w*|podan\w*|srodk\w*|toedien\w*|gabe|gift"
    r"|в в|введени\w*|απο))*"
)

# Better or other images, not those after contrast. Software that makes multi-frame images of a series calls it
# "enhanced conversion", in the standard's own sense of "Enhanced MR".
NOT_CONTRAST = (
    r"(?:edges?|image|noise|snr|resolution|details?|quality|ai|dl|deep learning|sharp\w*|super) enh\w*"
    r"|enhanced (?:conversion|converted|multi ?frame|dicom)"
)

# Where nothing follows, or but a plane, a size or the sequence: "T1 w/o ax" is not "T1 w/o fat".
NOTHING_MORE = r"(?=$| (?:ax\w*|sag\w*|[ck]or\w*|tra\w*|iso\w*|[23]d|t1|mpr\w*|repeat|\d[\d ]*mm)\b)"

NATIVE = rf"nat(?:if|iv\w*|yw\w*)?|нативн\w*|unenh\w*|basal(?:e|es)?{NOTHING_MORE}|plain"

# Chinese and Japanese write no spaces, Korean some. Not enhanced, before enhancement, plain scan; enhanced.
UNSPACED_BEFORE = (
    "(?:未|非|无|無)(?:增强|增強|造影|强化)|(?:增强|增強|造影|注射)前|平扫|平掃|単純|[비무]조영|조영제?(?:증강)? ?전"
)
UNSPACED_AFTER = "(?:增强|增強|造影|强化)[后後]?|注射[后後]|조영제?(?:증강)?(?: ?후)?"

# Short words that may stand in front of an agent and are no prepositions: planes, sequences, fat, places, uses.
NO_PREPOSITION = (
    "ax|axi|sag|cor|kor|tra|obl|we|se|tse|fse|gre|ge|eg|es|ir|tir|tfe|fe|ffe|tfi|fat|sat|iso|vol|fov|mri|irm|uni|inv|den|air"
    "|dis|nav|neu|new|rep|sel|iac|cai|iam|iv|min|max|epi|ute|op|and|und|et|m|n|p|k"
)

# What "post" and "pre" also go with: operations, treatments and the time since, the posterior fossa, saturation bands.
TREATMENT = (
    r"op\b|oper\w*|surg\w*|chir\w*|cirug\w*|rt[xt]?\b|r?tx\b|rx\b|radi(?:at|o)\w*|irradi\w*|proton\w*|treat\w*"
    r"|therap\w*|trait\w*|bestrahl\w*|srs\b|f?srt\b|[sw]brt\b|gk\w*|gamma\b|cyber\w*|litt\b|laser\b|ablat\w*|chemo\w*"
    r"|immun\w*|steroid\w*|[ck]orti[ck]o\w*|dexa\w*|avastin|beva\w*|[cz]y[ck]l\w*|c\d+\b|\d+ ?(?:wk|m|mo|y|yr)\b"
    r"|\d+ ?(?:day|week|month|year|tag|woche|monat|jahr|jour|mois)\w*|tumou?r res\w*|\w*[ck]tom(?:y|ie|ia)\w*"
    r"|[ck]rani\w*|biops\w*|interv\w*|e[xk][csz]\w*|embol\w*|shunt\w*|evd\b|dbs\b|s?eeg\b|ele[ck]tro\w*|implant\w*|clip\w*|coil\w*"
    r"|trauma\w*|tbi\b|injury|fall\b|stroke|seizure\w*|ictal|partum|covid\w*|vac[ck]\w*|an\w?esth\w*|sedat\w*|mort\w*"
    r"|recon\w*|rekon\w*|fossa|proc\w*|res\w*|sat\b|satur\w*"
)
