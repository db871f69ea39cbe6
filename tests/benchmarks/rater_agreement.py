"""How far the raters of a simulated laboratory agree, beside what is aimed at."""

import numpy as np
import pandas as pd

from vaaffect.corpora import DIMENSIONS, RaterTrace, cronbach_alpha, rate
from vaaffect.corpora.semaine import EVERY
from vaaffect.results import metrics
from vaaffect.simulator import LabWorld
from vaaffect.simulator.laboratory import SessionPlan, session_plan

# Cronbach's alpha of all raters of a session, median over sessions: about what is remembered of
# McKeown et al. (2012, "The SEMAINE database"), whose text was not at hand. So these are aims, and
# no figures to quote. By the usual rule (Nunnally 1978, "Psychometric theory"), an alpha of .7 is
# just enough for research.
AIMS = {"valence": 0.75, "arousal": 0.70}


def rater_agreement(world: LabWorld) -> pd.DataFrame:
    """The agreement at the frames that the study uses, from planned sessions: nothing is drawn.

    A row per dimension: raters (mean per session), alpha (Cronbach's, median over sessions), aim,
    PCC (median over traces, of one rater with the mean of the others of the session), sessions.
    """
    plans = [session_plan(world, index) for index in range(world.sessions)]
    rows = []
    for dimension in DIMENSIONS:
        code, alphas, correlations, counts = dimension[0].upper(), [], [], []
        for plan in plans:
            times = np.arange(0, len(plan.scenes), EVERY) / world.fps
            traces = _traces(plan, code)
            counts.append(len(traces))
            alphas.append(cronbach_alpha(traces, times))
            for trace in traces:
                others = [other for other in traces if other is not trace]
                mean, own = rate(others, times)[0], trace.at(times)
                both = np.isfinite(mean) & np.isfinite(own)
                if both.sum() > 2:
                    correlations.append(metrics.pcc(mean[both], own[both]))
        rows.append({
            "dimension": dimension, "raters": np.mean(counts), "alpha": np.nanmedian(alphas),
            "aim": AIMS[dimension], "PCC": np.nanmedian(correlations), "sessions": len(plans),
        })  # fmt: skip
    return pd.DataFrame(rows)


def _traces(plan: SessionPlan, code: str) -> list[RaterTrace]:
    """A session's traces of one dimension, as a loader reads them."""
    return [RaterTrace(str(t.rater), *t.rows.T) for t in plan.traces if t.code == code]
