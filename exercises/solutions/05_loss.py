"""05.loss: a solution."""


def loss(pred, target, mask):
    mean = target.mean(dim=2, keepdim=True)
    variance = target.var(dim=2, keepdim=True)
    target = (target - mean) / (variance + 1e-6).sqrt()
    return (pred - target)[mask].square().mean()
