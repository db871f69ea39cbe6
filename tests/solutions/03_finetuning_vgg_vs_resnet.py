"""Answers to the exercises of 03_finetuning_vgg_vs_resnet, in the form that solved.py describes."""

# %% 1 wrong: mean *squared* errors
kept = histories[MODELS[-1]].iloc[read_done(runs[MODELS[-1]])["best_epoch"] - 1]
price = kept["val_mse"] - kept["train_mse"]

# %% 1 wrong: the price at another epoch
history = histories[MODELS[-1]]
other = next(e for e in history["epoch"] if e != read_done(runs[MODELS[-1]])["best_epoch"])
kept = history.set_index("epoch").loc[other]
price = np.sqrt(kept["val_mse"]) - np.sqrt(kept["train_mse"])

# %% 1 right
kept = histories[MODELS[-1]].set_index("epoch").loc[read_done(runs[MODELS[-1]])["best_epoch"]]
price = np.sqrt(kept["val_mse"]) - np.sqrt(kept["train_mse"])

# %% 2 wrong: the two are exchanged
ends = []
for factor in (0.1, 1.0):
    w, v = 1.0, 0.0
    for _ in range(10):
        v = 0.9 * v + factor * w
        w = w - 0.1 * v
    ends.append(w)
w_pytorch, w_thesis = ends
same_rate = 1.0

# %% 2 wrong: with a rate of 0.01
w_thesis, w_pytorch = ends
same_rate = 0.01

# %% 2 right
w_thesis, w_pytorch = ends
same_rate = 0.1 / (1 - 0.9)

# %% 3 wrong: labels outside of `some` have moved
shuffled = va[torch.randperm(len(va), generator=torch.Generator().manual_seed(1))]
shuffled_mse = constant

# %% 3 wrong: were the true labels used
shuffled = va.clone()
order = torch.randperm(len(some), generator=torch.Generator().manual_seed(1))
shuffled[some] = va[torch.from_numpy(some)[order]]
model, _ = fresh()
optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
seen = torch.from_numpy(split.val)  # trains on whom it is to be judged by
for _ in range(100):
    loss = torch.nn.functional.mse_loss(model(training.to_input(images[seen])), va[seen])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
said = training.predict(model, images, split.val, device)
shuffled_mse = ((said - crops.va[split.val]) ** 2).mean()

# %% 3 right
model, optimizer = fresh()
for epoch in range(4):
    training.epoch_losses(model, optimizer, plain, images, shuffled, some, epoch, seed)
said = training.predict(model, images, split.val, device)
shuffled_mse = ((said - crops.va[split.val]) ** 2).mean()
