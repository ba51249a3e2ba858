"""Which part of the body a name is of: the head, a part of it, the neck or another one.

In the languages of ``imaging.vocabulary``; the patterns are on words made plain (``imaging.words.plain``).
"""

import re

HEAD = re.compile(
    r"\b(?:heads?|brain|c ?mrt|skull|kopf|scha?e?del|\w*[ck]rani\w*|crane\w*|tete|testa|cabeza|cabeca|cerveau|cerebr\w*"
    r"|ence(?:f|ph)al\w*|\w*hirn\w*|hjarn\w*|hjern\w*|hersen\w*|hoofd|mozg\w*|moz[ek]\w*|glow[aey]|beyin|aivo\w*|aju"
    r"|головн\w*|мозг\w*|εγκεφαλ\w*|\w*[头頭颅顱脑腦脳뇌두]\w*)\b"
)
_SPINE = (
    r"[ctls] ?spine|(?<!\+)[ctl] ?sp|spine|spinal|(?:lumb|lomb|thora[ck]|torac|cervic|dorsal|sacr|sakr)\w*|rachis"
    r"|rachid\w*|moelle|medull(?!obl)\w*|midoll\w*|ruckenmark\w*|myelo\w*|colonna|columna\w*|coluna|[hbl]ws|\w*wirbel\w*"
    r"|\w*rygg\w*|wervel\w*|kregos\w*|omurga\w*|pater[en]\w*|позвоно\w*|шеин\w*|поясн\w*|грудн\w*|\w*[颈頸腰胸]椎\w*|脊\w*|[경흉요척]추\w*"
)
_ORGANS = (
    r"abdom\w*|liver|leber|lever|foie|hepat\w*|mrcp|entero\w*|rect(?:um|al)\w*|kidneys?|renal|nieren?|pancrea\w*|prostat\w*"
    r"|pelvi[cs]|pelvien\w*|b[ae]cken|buik|breasts?|mammae?|mammaire\w*|mammo\w*|chest|thorax|heart|herz|cardiac|shoulders?"
    r"|schulter|brachial\w*|knees?|knie|ankles?|wrists?|elbows?|extremit\w*|femur|humerus|uter[ui]\w*|bladder"
    r"|(?:whole|total) ?body|ganzkorper\w*|corps entier|mri (?:\w+ )?(?:hips?|hands?|foot|feet)"
)
# An organ may also be where the metastases came from.
_PRIMARY = r"(?! ?(?:cell|ca|c|cc|can[ck]\w*|[ck]ar[cz]\w*|tumou?r\w*|met\w*|malig\w*|primary)\b)"
OTHER_PART = re.compile(rf"\b(?:{_SPINE}|(?<!\bca )(?:{_ORGANS}){_PRIMARY})\b")
BRAIN_SEQUENCE = re.compile(r"\b(?:mp ?rage|mp2rage|bravo|brain ?view)\b")
_NECK = "neck|cou|hals"
NECK = re.compile(rf"\b(?:{_NECK}|laryn\w*|thyroid\w*|schilddruse\w*)\b")
SMALL_FIELD = re.compile(
    r"\b(?:orbit\w*|sella\w*|selle|hypophys\w*|pituit\w*|iac|cai|iam|khbw|felsenbein\w*|rocher\w*|cavernous"
    rf"|{_NECK}|face|facial|gesicht\w*|visage|parotis|parotid\w*|tmj|mastoid\w*|nnh|npc|naso ?phary\w*|paranasal\w*)\b"
)
