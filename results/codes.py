"""Coded terms of the objects written back, each in one place."""

from highdicom.sr import CodedConcept
from pydicom.sr.codedict import codes

MORPHOLOGICALLY_ABNORMAL_STRUCTURE = CodedConcept.from_code(codes.SCT.MorphologicallyAbnormalStructure)
NEOPLASM_SECONDARY = CodedConcept.from_code(codes.SCT.NeoplasmSecondary)
BRAIN = CodedConcept.from_code(codes.SCT.Brain)
ARTIFICIAL_INTELLIGENCE = CodedConcept.from_code(codes.DCM.ArtificialIntelligence)
