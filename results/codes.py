"""Coded terms of the objects written back, each in one place."""

from highdicom.sr import CodedConcept
from pydicom.sr.codedict import codes

MORPHOLOGICALLY_ABNORMAL_STRUCTURE = CodedConcept.from_code(codes.SCT.MorphologicallyAbnormalStructure)
NEOPLASM_SECONDARY = CodedConcept.from_code(codes.SCT.NeoplasmSecondary)
BRAIN = CodedConcept.from_code(codes.SCT.Brain)
ARTIFICIAL_INTELLIGENCE = CodedConcept.from_code(codes.DCM.ArtificialIntelligence)

BRAIN_MRI = CodedConcept.from_code(codes.LN.BrainMRI)
COMMENT = CodedConcept.from_code(codes.DCM.Comment)
DEVICE = CodedConcept.from_code(codes.DCM.Device)
QUALITATIVE_EVALUATIONS = CodedConcept("C0034375", "UMLS", "Qualitative Evaluations")

# Written out: OHIF looks for exactly these meanings, and pydicom's say "Long axis" and "Short axis".
LONG_AXIS = CodedConcept("103339001", "SCT", "Long Axis")
SHORT_AXIS = CodedConcept("103340004", "SCT", "Short Axis")
VOLUME = CodedConcept.from_code(codes.SCT.Volume)
DIAMETER_3D = CodedConcept.from_code(codes.IBSI.Maximum3DDiameterOfAMesh)
MILLIMETRE = CodedConcept.from_code(codes.UCUM.Millimeter)
CUBIC_MILLIMETRE = CodedConcept.from_code(codes.UCUM.CubicMillimeter)
RANO = CodedConcept.from_code(codes.cid6147.RANO)

BASELINE = CodedConcept.from_code(codes.UMLS.Baseline)
NADIR = CodedConcept.from_code(codes.UMLS.Nadir)

RESPONSE_EVALUATION = CodedConcept.from_code(codes.DCM.ResponseEvaluation)
CURRENT_RESPONSE = CodedConcept.from_code(codes.DCM.CurrentResponse)
BEST_OVERALL_RESPONSE = CodedConcept.from_code(codes.DCM.BestOverallResponse)
TARGET_LESION = CodedConcept.from_code(codes.DCM.TargetLesionAtBaseline)
NON_TARGET_LESION = CodedConcept.from_code(codes.DCM.NonTargetLesionAtBaseline)

_NOT_EVALUABLE = CodedConcept("C62222", "NCIt", "Not Evaluable")
TARGET_RESPONSES = {
    "CR": CodedConcept.from_code(codes.DCM.TargetLesionCompleteResponse),
    "PR": CodedConcept.from_code(codes.DCM.TargetLesionPartialResponse),
    "SD": CodedConcept.from_code(codes.DCM.TargetLesionStableDisease),
    "PD": CodedConcept.from_code(codes.DCM.TargetLesionProgressiveDisease),
    "NE": _NOT_EVALUABLE,
}
# DICOM's own codes speak of target lesions or of non-target ones; the whole patient's response is neither. That of a
# patient without target lesions is the one of the non-target lesions.
OVERALL_RESPONSES = {
    "CR": CodedConcept("C4870", "NCIt", "Complete Response"),
    "PR": CodedConcept("C18058", "NCIt", "Partial Response"),
    "SD": CodedConcept("C18213", "NCIt", "Stable Disease"),
    "PD": CodedConcept("C35571", "NCIt", "Progressive Disease"),
    "non-CR/non-PD": CodedConcept.from_code(codes.DCM.NonTargetLesionIncompleteResponseOrStableDisease),
    "no evidence of disease": CodedConcept.from_code(codes.NCIt.NoEvidenceOfDisease),
    "NE": _NOT_EVALUABLE,
}
