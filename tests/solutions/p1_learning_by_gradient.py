"""Answers to the exercises of p1_learning_by_gradient, in the form that solved.py describes."""

# %% 1 wrong: the old units
new_curvature, new_limit = curvature, limit

# %% 1 wrong: has a factor 2
new_curvature = np.linalg.eigvalsh(np.corrcoef(x.T))
new_limit = 2 / new_curvature.max()

# %% 1 wrong: the steep one diverges
new_curvature = 2 * np.linalg.eigvalsh(np.corrcoef(x.T))
new_limit = 2 / new_curvature.min()

# %% 1 right
together = np.corrcoef(x.T)[0, 1]
new_curvature = [2 * (1 - together), 2 * (1 + together)]
new_limit = 1 / (1 + together)

# %% 2 wrong: they are not the same
first_step, left_of_first = 1, 0.09

# %% 2 wrong: came in with a tenth
first_step, left_of_first = 10, 0.09

# %% 2 right
weights = torch.tensor(start, requires_grad=True)
optimizer = torch.optim.SGD([weights], lr=lr, momentum=0.9, dampening=0.9)
path = [start]
for _ in range(2):
    optimizer.zero_grad()
    nn.functional.mse_loss(torch.from_numpy(x) @ weights, torch.from_numpy(valence)).backward()
    optimizer.step()
    path.append(weights.detach().numpy().copy())
by_formula = descend(gradient, start, lr, 0.9, 1, written=True)
first_step = np.linalg.norm(path[1] - start) / np.linalg.norm(by_formula[1] - start)
v2 = (path[1] - path[2]) / lr - 0.1 * gradient(path[1])
left_of_first = (v2 / gradient(start)).mean()

# %% 3 wrong: this diverges
my_lr, my_momentum = 1.01 * limit, 0

# %% 3 wrong: without momentum it takes
my_lr, my_momentum = 0.5 * limit, 0.0

# %% 3 wrong: you need
my_lr, my_momentum = lr, beta

# %% 3 right
low, high = np.sqrt(curvature)
my_momentum = ((high - low) / (high + low)) ** 2
my_lr = (2 / (high + low)) ** 2
