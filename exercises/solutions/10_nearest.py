"""10.nearest: a solution."""


def vote(features, labels, queries, k):
    features = features / features.norm(dim=1, keepdim=True)
    queries = queries / queries.norm(dim=1, keepdim=True)
    near = (queries @ features.T).topk(k, dim=1).indices
    return labels[near].mode(dim=1).values
