"""One visit after the other, against the baseline and the days between: the response of each, with its reasons."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from rano import remarks, table
from rano.confirmation import Verdict
from rano.criteria import Change, Part, Response, compare, hundredths, judge
from rano.days_before import DaysBefore
from rano.families import families, wholes
from rano.groups import LENGTH, VOLUME, Group, Visit, held
from rano.history import TARGET_RULES, Judgement, LesionAtVisit, Rules, TargetRule, VisitFindings, choose_targets
from rano.new_lesions import JUDGEMENTS as OF_NEW
from rano.new_lesions import NewLesions
from rano.non_targets import JUDGEMENTS as OF_NON_TARGET
from rano.non_targets import judge_non_targets
from rano.visit_response import Role, VisitResponse


class Course:
    """The course of a patient from the baseline on.

    Parameters
    ----------
    dated
        All visits that have a date, in the order of time.
    baseline
        Identifier of the one that the others are compared with; it was assessed.
    rules
        What a trial may choose.
    """

    def __init__(self, dated: Sequence[VisitFindings], baseline: str, rules: Rules) -> None:
        self.rules = rules
        dates = [visit.date for visit in dated]
        day = next(visit.date for visit in dated if visit.visit == baseline)
        # Two lesions of the baseline are two, though they were one before.
        own = {m.tracking_uid for visit in dated if visit.date == day for m in wholes(_there(visit))}
        self.visits = [
            Visit(visit, visit.date, _there(visit), family)
            for visit, family in zip(dated, families(dated, own, dates.index(day)), strict=True)
            if visit.date is not None
        ]
        self.names = {m.tracking_uid: m.label for visit in reversed(self.visits) for m in visit.lesions}
        self.baseline = next(visit for visit in self.visits if visit.findings.visit == baseline)
        self.course = [visit for visit in self.visits if visit.date >= self.baseline.date]
        chosen, self.baseline_notes = choose_targets(wholes(self.baseline.lesions), rules.maximum_targets)
        self.targets = tuple(m.tracking_uid for m in chosen)
        # Those that another visit on the same day shows as well are no new lesions either.
        that_day = [visit for visit in self.course if visit.date == self.baseline.date]
        self.known = frozenset(uid for visit in that_day for family in visit.families.values() for uid in family)
        there = dict.fromkeys(m.tracking_uid for visit in [self.baseline, *that_day] for m in visit.lesions)
        whole = dict.fromkeys(m.tracking_uid for visit in [self.baseline, *that_day] for m in wholes(visit.lesions))
        self.non_targets = tuple(uid for uid in whole if uid not in self.targets)
        # What the baseline shows only as a part of another lesion may be seen by itself later.
        holder: dict[str, str] = {}
        for visit in [self.baseline, *that_day]:
            for family in visit.families.values():
                within = next((uid for uid in family if uid in whole), None)
                if within is not None:
                    holder.update({uid: within for uid in family if uid not in there and uid not in holder})
        self.course = [held(visit, holder) for visit in self.course]
        self.baseline = next(visit for visit in self.course if visit.findings.visit == baseline)
        self.days = [list(visits) for _, visits in groupby(self.course, key=lambda visit: visit.date)]
        self.new = NewLesions(self.days, self.known, self.names, rules)

    def roles(self) -> dict[str, Role]:
        """Tell what each lesion counts as, by tracking UID; a part counts as what it is a part of."""
        roles: dict[str, Role] = dict.fromkeys(self.targets, "target")
        roles.update((uid, "non_target") for uid in self.non_targets)
        for visit in self.course:
            of_targets, known = visit.shown(self.targets), visit.shown(self.known)
            for lesion in visit.lesions:
                role: Role = "target" if lesion in of_targets else "non_target" if lesion in known else "new"
                roles.setdefault(lesion.tracking_uid, role)
        return roles

    def answers(self) -> list[VisitResponse]:
        """Judge every visit, in the order given."""
        early = [visit for visit in self.visits if visit.date < self.baseline.date]
        answers = [VisitResponse(visit.findings.visit, visit.date, "before baseline") for visit in early]
        # Beside all that lies before: that of it which is beyond doubt.
        before, sure = (DaysBefore(self.baseline, self.days[0], self.non_targets, self.known) for _ in range(2))
        for number, day in enumerate(self.days):
            notes = () if len(day) == 1 else ("There is another visit on this day; neither confirms the other.",)
            answers += [self._answer(visit, before, sure, notes) for visit in day]
            if number > 0:
                assessed = [visit for visit in day if visit.findings.lesions is not None]
                before.remember(assessed)
                sure.remember([visit for visit in assessed if not visit.findings.in_doubt])
        return answers

    def _answer(self, visit: Visit, before: DaysBefore, sure: DaysBefore, notes: tuple[str, ...]) -> VisitResponse:
        answer = VisitResponse(visit.findings.visit, visit.date, "follow-up", notes=notes)
        if visit.findings.lesions is None:
            radiographic = Verdict(Response.NE, "the visit was not assessed")
            return replace(answer, radiographic=radiographic, overall=self._overall(visit, radiographic))
        joined = self._joined(visit)
        _, certain, doubtful = self.new.sort(visit)
        doubted = [m for m in visit.lesions if m.doubt] + self.new.doubted(visit)
        verified = visit.findings.verified
        remark = (remarks.verified if verified else remarks.doubt)(
            list({m.tracking_uid: m.label for m in doubted}.values()), visit.findings.gone_in_doubt
        )
        answer = replace(
            answer,
            diameters=self._compare("mm", visit, before),
            volumes=self._compare("mm3", visit, before),
            new_lesions=tuple(m.tracking_uid for m in certain),
            equivocal_lesions=tuple(m.tracking_uid for m in doubtful),
            notes=(
                *notes,
                *remarks.merged(visit.lesions, self.names),
                *self.new.notes(visit),
                *remarks.in_parts([self.names[uid] for uid in visit.parted(self._group(visit))]),
                *remarks.not_found(self._not_found(visit)),
                *remarks.measured_together([self.names[uid] for uid in joined]),
                *remarks.not_assessed(visit.lesions),
                *([remark] if remark else []),
            ),
            doubt="" if verified else remark,
        )
        if visit is self.baseline:
            return replace(answer, role="baseline", notes=answer.notes + self.baseline_notes)
        by_rule = {rule: self._judge_targets(rule, visit, before) for rule in TARGET_RULES if self.targets}
        non_targets = self._judge_non_targets(visit, before)
        radiographic = self._radiographic(visit, before)
        earlier = self._earlier_doubt(visit, radiographic, sure)
        return replace(
            answer,
            by_target_rule={rule: response for rule, (response, _) in by_rule.items()},
            non_targets=non_targets and non_targets[0],
            judgeable=self._judgeable(visit),
            radiographic=radiographic,
            overall=self._overall(visit, radiographic),
            notes=answer.notes + ((earlier,) if earlier else ()),
            earlier_doubt=earlier,
        )

    def _radiographic(self, visit: Visit, before: DaysBefore) -> Verdict:
        """Judge the images of a visit by what lies before it."""
        missed, certain, doubtful = self.new.sort(visit)
        back = [m.label for m in visit.shown(self.known) if m.longest_mm is not None] if before.cleared else []
        progression = [f"{', '.join(back)} came back after all lesions had gone on {before.cleared}"] if back else []
        if not visit.findings.immunotherapy:
            progression += [self.new.describe(m, visit) for m in certain]
        radiographic = table.radiographic(
            self._judge_targets(self.rules.target_rule, visit, before) if self.targets else None,
            self._judge_non_targets(visit, before),
            progression,
            tolerated=[m.label for m in certain],
            equivocal=[m.label for m in doubtful],
            judged=self._judged(visit),
        )
        # One seen before that this visit can't tell anything of is no progression at it, and rules out every response.
        if missed and radiographic.response is not Response.PD:
            names = ", ".join(m.label for m in missed)
            return Verdict(Response.NE, f"{names}, new since the baseline, can't be assessed")
        return radiographic

    def _earlier_doubt(self, visit: Visit, radiographic: Verdict, sure: DaysBefore) -> str:
        """Say what the response would be without the earlier visits in doubt; empty when it would be the same.

        Without the baseline there would be none: a doubt about that is one about every response.
        """
        if self.baseline.findings.in_doubt:
            return remarks.doubtful_baseline(self.baseline.date)
        earlier = [one for one in self.course if one.date < visit.date and one is not self.baseline]
        dates = dict.fromkeys(one.date for one in earlier if one.findings.in_doubt)
        otherwise = self._radiographic(visit, sure).response if dates else radiographic.response
        return "" if otherwise is radiographic.response else remarks.without(list(dates), str(otherwise))

    def _not_found(self, visit: Visit) -> list[str]:
        """Return the names of the targets that a visit does not show while it shows others, unless in doubt."""
        living_on = visit.spoken_for
        gone = [uid for uid in self.targets if uid not in living_on]
        names = [self.names[uid] for uid in gone if len(gone) < len(self.targets)]
        return [name for name in names if name not in visit.findings.gone_in_doubt]

    def _joined(self, visit: Visit) -> Group:
        """Return the non-target lesions that are measured with a target at this visit, because they have merged."""
        with_targets = {uid for m in visit.shown(self.targets) for uid in visit.families[m.tracking_uid]}
        return tuple(uid for uid in self.non_targets if uid in with_targets)

    def _group(self, visit: Visit) -> Group:
        """Return what is compared: the targets, with what has merged with them."""
        return self.targets + self._joined(visit)

    def _compare(self, unit: str, visit: Visit, before: DaysBefore) -> Change | None:
        attribute, group = LENGTH if unit == "mm" else VOLUME, self._group(visit)
        baseline = self.baseline.read(group, attribute)
        if not self.targets or baseline.total is None:
            return None
        return compare(unit, baseline, *before.nadir(group)[attribute], visit.read(group, attribute))

    def _judge_targets(self, rule: TargetRule, visit: Visit, before: DaysBefore) -> Part:
        attribute, group = VOLUME if rule == "volume" else LENGTH, self._group(visit)
        first, now = (v.read(group, attribute) for v in (self.baseline, visit))
        if first.total is None:
            unknown = ", ".join(self.names[uid] for uid, size in first.sizes.items() if size is None)
            return Response.NE, f"the size of {unknown} is not known at the baseline"
        return judge(rule, self.rules, first, before.nadir(group)[attribute][0], now, self.names)

    def _judge_non_targets(self, visit: Visit, before: DaysBefore) -> Part | None:
        if not self.non_targets:
            return None
        lesions = self._beside_targets(visit)
        part = judge_non_targets(lesions, visit.families, self.non_targets, before.smallest, self.rules, self.names)
        if part[0] is Response.CR and (joined := self._joined(visit)):
            names = ", ".join(self.names[uid] for uid in joined)
            return Response.NON_CR_NON_PD, f"non-target {names} can't be told from a target"
        return part

    def _beside_targets(self, visit: Visit) -> list[LesionAtVisit]:
        """Return the lesions of a visit that speak for a non-target lesion and for no target lesion."""
        of_targets = visit.shown(self.targets)
        return [lesion for lesion in visit.shown(self.non_targets) if lesion not in of_targets]

    def _judgeable(self, visit: Visit) -> dict[str, tuple[Judgement, ...]]:
        """Tell what a reader can say of each lesion, where the visit measures one."""
        open_to = [(m, OF_NEW) for m in self.new.apart(visit)]
        open_to += [(m, OF_NON_TARGET) for m in self._beside_targets(visit)]
        return {m.tracking_uid: judgements for m, judgements in open_to if m.longest_mm is not None}

    def _judged(self, visit: Visit) -> list[str]:
        """Say what a reader has said of the lesions of a visit, but for the progression that is itself a reason."""
        stable = [m.label for m in self._beside_targets(visit) if m.judgement is Judgement.NO_PROGRESSION]
        return self.new.judged(visit) + [f"{label} has not progressed unequivocally" for label in stable]

    def _overall(self, visit: Visit, radiographic: Verdict) -> Verdict:
        return table.overall(
            radiographic,
            visit.findings.corticosteroid_mg,
            self.baseline.findings.corticosteroid_mg,
            visit.findings.clinical_status,
            bool(self.targets),
        )


def _there(visit: VisitFindings) -> tuple[LesionAtVisit, ...]:
    """Return the lesions of a visit; one that measures nothing is not there."""
    return tuple(m for m in visit.lesions or () if hundredths(m.longest_mm) != 0)
