"""Answers to the exercises of 01_data_exploration, in the form that solved.py describes."""

# %% 1 wrong: it answers in part for itself
labels = wild.frames[["valence", "arousal"]]
several = wild.frames.groupby("clip")["frame"].transform("size") > 1
means = labels.groupby(wild.frames["clip"]).transform("mean")
clip_rmse = np.sqrt(((labels - means)[several] ** 2).mean())

# %% 1 wrong: group by `clip`
clip_rmse = wild.va.std(axis=0)

# %% 1 right
mistakes = []
for _, clip in wild.frames.groupby("clip"):
    va = clip[["valence", "arousal"]].to_numpy()
    if len(va) > 1:
        mistakes += [np.delete(va, i, axis=0).mean(axis=0) - va[i] for i in range(len(va))]
clip_rmse = np.sqrt(np.mean(np.square(mistakes), axis=0))

# %% 2 wrong: the sign
*rest, one = longest.traces["valence"]
best_shift, best_pcc = 0.0, -1.0
for shift in np.arange(-10, 11) / 10:
    table = pd.DataFrame({"one": one.at(times + shift), "rest": semaine.rate(rest, times)[0]})
    if (pcc := table.corr().iloc[0, 1]) > best_pcc:
        best_shift, best_pcc = shift, pcc

# %% 2 right
*rest, one = longest.traces["valence"]
best_shift, best_pcc = 0.0, -1.0
for shift in np.arange(-10, 11) / 10:
    table = pd.DataFrame({"one": one.at(times - shift), "rest": semaine.rate(rest, times)[0]})
    if (pcc := table.corr().iloc[0, 1]) > best_pcc:
        best_shift, best_pcc = shift, pcc

# %% 3 wrong: a picture has no labels
import json
import shutil
import tempfile
from pathlib import Path

from vaaffect.corpora import afew_va

first, second = wild.frames.drop_duplicates("clip")["source"].iloc[:2]
copy = Path(tempfile.mkdtemp())
for source in (first, second):
    folder = (wild.root / source).parent
    shutil.copytree(folder, copy / folder.name)
name = Path(first).parent.name
path = copy / name / f"{name}.json"
clip = json.loads(path.read_text())
del clip["frames"][Path(first).stem]
path.write_text(json.dumps(clip))
damaged = afew_va.load_afew_va(copy)
shutil.rmtree(copy)

# %% 3 right
first, second = wild.frames.drop_duplicates("clip")["source"].iloc[:2]
copy = Path(tempfile.mkdtemp())
for source in (first, second):
    folder = (wild.root / source).parent
    shutil.copytree(folder, copy / folder.name)
(copy / Path(first).parent.name / Path(first).name).unlink()
name = Path(second).parent.name
path = copy / name / f"{name}.json"
clip = json.loads(path.read_text())
clip["frames"][Path(second).stem]["landmarks"].pop()
path.write_text(json.dumps(clip))
damaged = afew_va.load_afew_va(copy)
shutil.rmtree(copy)
